"""Questions and passages in the layout of BEIR (arXiv:2104.08663), which libraries for retrieval read."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, final

from lit_align.data.accounting import Accounting
from lit_align.files import atomic_write, write_jsonl
from lit_align.synthesis.items import DOC_ID, Item
from lit_align.synthesis.personas.passages import TITLE

CORPUS, QUERIES, QRELS = "corpus.jsonl", "queries.jsonl", "qrels/test.tsv"
_KNOWN = ("persona", "interest", "question_type", "usefulness", "plain_question")


@final
@dataclass(frozen=True, kw_only=True)
class RetrievalSet:
    """Questions with the passage that answers each.

    Attributes:
        corpus: Every passage: `_id`, `title` and `text`.
        queries: Every question, `_id`, `text`, and as `metadata` what is known of it: the persona, the type, the plain
            question.
        relevant: (id of the question, id of its passage).
        accounts: What became of the rows of every step, by its title, in order.
    """

    corpus: list[dict[str, Any]]
    queries: list[dict[str, Any]]
    relevant: list[tuple[str, str]]
    accounts: Mapping[str, Accounting] = field(default_factory=dict)

    def write(self, folder: Path) -> None:
        """Writes `corpus.jsonl`, `queries.jsonl` and `qrels/test.tsv`."""
        write_jsonl(folder / CORPUS, self.corpus)
        write_jsonl(folder / QUERIES, self.queries)
        with atomic_write(folder / QRELS) as file:
            file.write("query-id\tcorpus-id\tscore\n")
            file.writelines(f"{query}\t{document}\t1\n" for query, document in self.relevant)


def retrieval_set(
    documents: Iterable[Item],
    questions: Iterable[Item],
    *,
    counts: Accounting,
    accounts: Mapping[str, Accounting] | None = None,
) -> RetrievalSet:
    """The set of passages and of questions about them.

    A question that was made of several passages stands there once, with all of them; a second one with the same words
    about the same passage is dropped from `counts`.
    """
    corpus = [_passage(item) for item in documents]
    queries: dict[str, dict[str, Any]] = {}
    relevant: dict[tuple[str, str], None] = {}
    for item in questions:
        counts.add()
        pair = (item["id"], item["meta"][DOC_ID])
        if pair in relevant:
            counts.drop("duplicate", place=f"item {item['id']}")
            continue
        relevant[pair] = None
        queries.setdefault(item["id"], _query(item))
    return RetrievalSet(corpus=corpus, queries=list(queries.values()), relevant=list(relevant), accounts=accounts or {})


def _passage(item: Item) -> dict[str, Any]:
    return {"_id": item["meta"][DOC_ID], "title": item["meta"].get(TITLE, ""), "text": item["text"]}


def _query(item: Item) -> dict[str, Any]:
    return {"_id": item["id"], "text": item["text"], "metadata": {name: item["meta"][name] for name in _KNOWN}}
