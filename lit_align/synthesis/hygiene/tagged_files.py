"""Tags for the rows of a file: every row stays, with its tags where they could be had, and counted where not."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lit_align.data.accounting import Accounting, explain
from lit_align.data.categories import categories_of
from lit_align.data.guessing import guess_kind
from lit_align.data.records import Demonstration, Dropped, Kind, Row, parse_row
from lit_align.data.sources import read_raw
from lit_align.data.splitting import prompt_key, prompt_turns
from lit_align.data.values import carried
from lit_align.errors import DataError
from lit_align.files import write_jsonl
from lit_align.generation.base import Generator, Sampling
from lit_align.synthesis.asking import answered
from lit_align.synthesis.hygiene.tagging import LABELS, AskTags, RuleTags
from lit_align.synthesis.items import Item

Tagger = Callable[[list[Item]], Mapping[str, Item | str]]
"""From items to what is known of each, by its id: the item with its tags, or the reason why it has none."""

_REFUSED = "refused"  # by the generator, such as a prompt that is too long for it


@dataclass(kw_only=True)
class Tagged:
    """What came of tagging a file.

    Attributes:
        read: Rows of the file, and of the output.
        untagged: How many of them have no tags, by reason.
        labels: How many rows have which topic, tag and grade.
    """

    read: int = 0
    untagged: Counter[str] = field(default_factory=Counter)
    labels: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))

    def to_dict(self) -> dict[str, Any]:
        """The counts as JSON has them."""
        tagged = self.read - self.untagged.total()
        return {"read": self.read, "tagged": tagged, "untagged": dict(self.untagged.most_common())}


def by_rules(items: list[Item]) -> dict[str, Item | str]:
    """Tags by the words of the prompts."""
    tagged = RuleTags().apply(items, counts=Accounting())
    return {item["id"]: item if item["tags"] else "no_tags" for item in tagged}


def by_model(step: AskTags, *, said: Path, generator: Generator, sampling: Sampling, overwrite: bool = False) -> Tagger:
    """Tags by what a model says.

    Args:
        step: What is asked.
        said: The .jsonl file that keeps what the model said, from which a stopped run continues.
        generator: The model.
        sampling: How it is asked; one response to each prompt.
        overwrite: Whether what another model said, or was asked, is replaced.
    """

    def tag(items: list[Item]) -> dict[str, Item | str]:
        rows = list(step.compose(items))
        found: dict[str, Item | str] = {}
        for row in answered(rows, output=said, generator=generator, sampling=sampling, overwrite=overwrite):
            counts = Accounting()
            tagged = list(step.parse([row], counts=counts))
            found[row["item"]["id"]] = tagged[0] if tagged else next(iter(counts.dropped))
        return found

    return tag


def tag_file(
    source: str | Path, output: Path, *, tagger: Tagger, kind: Kind | None = None, split: str = "train"
) -> Tagged:
    """Writes the rows of a source with `tags`, and with `topic`, `difficulty` and `quality` in `meta`.

    Rows with the same prompt are asked about once.

    Args:
        source: A file, a folder or a hub id.
        output: A .jsonl or .jsonl.gz file.
        tagger: Tells the tags.
        kind: What the rows are; told by the first one unless given.
        split: Which part of a folder or hub data set.

    Raises:
        DataError: A row is malformed or has tags already; or no row got any.
    """
    rows = list(_read(source, kind, split))
    items: dict[str, Item] = {}
    for _, item in rows:
        if not isinstance(item, str):
            items.setdefault(item["id"], item)
    found = tagger(list(items.values()))
    result = Tagged()
    told = ((raw, item if isinstance(item, str) else found.get(item["id"], _REFUSED)) for raw, item in rows)
    made = [_with_tags(raw, what, result) for raw, what in told]
    if not result.to_dict()["tagged"]:
        raise DataError(f"{source}: no row of {result.read} got a tag: {dict(result.untagged.most_common())}")
    write_jsonl(output, made)
    return result


def _read(source: str | Path, kind: Kind | None, split: str) -> Iterator[tuple[dict[str, Any], Item | str]]:
    """Every row with its prompt as an item, or with the reason why training could not use it."""
    for place, value in read_raw(source, split=split):
        if value.get("tags") is not None:
            raise DataError(f"{place}: the row has `tags` already\nRemove the column, or go on with these.")
        if not isinstance(value.get("meta"), Mapping | None):
            raise DataError(f"{place}: `meta` must be an object, which topic, difficulty and quality are added to")
        kind = kind or guess_kind(value, place=place)
        try:
            row = parse_row(kind, value, place)
            yield _writable(value, place), {"id": prompt_key(row).hex()[:20], "prompt": _turns(row)}
        except Dropped as dropped:
            yield _writable(value, place), dropped.reason


def _writable(raw: Mapping[str, Any], place: str) -> dict[str, Any]:
    try:
        return {name: carried(value, key=name, place=place) for name, value in raw.items()}
    except Dropped as dropped:  # half of a surrogate pair
        raise DataError(f"{place}: {explain(dropped.reason)}") from dropped


def _turns(row: Row) -> list[dict[str, str]]:
    if isinstance(row, Demonstration) and row.text is not None:
        return [{"role": "user", "content": row.text}]
    return [{"role": turn.role, "content": turn.content} for turn in prompt_turns(row)]


def _with_tags(raw: dict[str, Any], found: Item | str, result: Tagged) -> dict[str, Any]:
    result.read += 1
    if isinstance(found, str):
        result.untagged[found] += 1
        return raw
    told = found.get("meta", {})
    row = {**raw, "tags": found["tags"], **({"meta": {**(raw.get("meta") or {}), **told}} if told else {})}
    for name, label in categories_of(row):
        if name in LABELS:
            result.labels[name][label] += 1
    return row
