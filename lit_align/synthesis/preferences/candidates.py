"""The responses of one or several models to the same prompts, gathered by prompt, with their scores."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, final

from lit_align.data import values
from lit_align.data.accounting import Accounting
from lit_align.data.records import Dropped, parse_row
from lit_align.data.rows import to_json
from lit_align.data.sources import read_raw
from lit_align.data.splitting import prompt_key
from lit_align.errors import DataError

_COMMON = ("id", "prompt", "messages", "response")
"""Columns of a row that are the prompt's, or the response itself."""
_LINEAGE = ("source", "licence", "license", "parents", "meta", "tags", "template", "generators")
"""Columns of a row that say where its prompt comes from."""


@final
@dataclass(frozen=True, kw_only=True)
class Candidate:
    """One response.

    Attributes:
        text: The response.
        score: What decides between candidates, larger is better; None where nothing scored it.
        row: The row it came in, with everything that is known of it.
        place: Where that stands.
    """

    text: str
    score: float | None
    row: Mapping[str, Any]
    place: str

    @property
    def is_finished(self) -> bool:
        """Whether the model ended it; a response of unknown origin counts as finished."""
        return self.row.get("finish_reason", "stop") == "stop"


@final
@dataclass(frozen=True, kw_only=True)
class Candidates:
    """The different responses to one prompt.

    Attributes:
        id: The prompt's, as generation wrote it, or its hash.
        prompt: The prompt as rows have it: a list of messages.
        responses: In the order of the sources.
        lineage: Where the prompt comes from: data set, licence, rows it was made of, topics and tags; as far as known.
        place: Where the first stands.
    """

    id: str
    prompt: Any
    responses: list[Candidate] = field(default_factory=list)
    lineage: Mapping[str, Any] = field(default_factory=dict)
    place: str

    def to_json(self) -> dict[str, Any]:
        """A row of kind `scored` where all have a score; every candidate's own row is kept in `candidates`."""
        scores = [candidate.score for candidate in self.responses]
        return {
            "id": self.id,
            "prompt": self.prompt,
            "responses": [candidate.text for candidate in self.responses],
            "rewards": scores,
            **self.lineage,
            "candidates": [_own(candidate.row) for candidate in self.responses],
        }


def gather(
    sources: Sequence[str], *, score: str | None, split: str = "train", counts: Accounting
) -> Iterator[Candidates]:
    """Yields every prompt with its different responses, none or many, both in the order of the sources.

    Rows of one prompt need not stand together; the same normalised prompt in several files is one prompt, so the
    samples of several models, or of earlier rounds, are a committee's.

    Args:
        sources: Files, folders or hub ids; one response a row, as `generate`, `score` and `verify` write them.
        score: The column that decides: a number, or true and false; nested names by dots. None: nothing decides yet.
        split: Which part of a folder or hub data set.
        counts: Where rows that are left out are counted: an empty or a repeated response.

    Raises:
        DataError: A row has no response or no score.
    """
    groups: dict[bytes, Candidates] = {}
    for place, raw in _rows(sources, split):
        counts.add()
        try:
            _add(groups, raw, place, score)
        except Dropped as drop:
            counts.drop(drop.reason, place=place)
    yield from groups.values()


def _rows(sources: Iterable[str], split: str) -> Iterator[tuple[str, dict[str, Any]]]:
    for source in sources:
        yield from read_raw(source, split=split)


def _add(groups: dict[bytes, Candidates], raw: dict[str, Any], place: str, score: str | None) -> None:
    row = parse_row("prompt", {key: value for key, value in raw.items() if key != "response"}, place)
    text = values.text(raw.get("response"), key="response", place=place)
    value = None if score is None else _score(raw, score, place)
    key = prompt_key(row)
    if key not in groups:
        name = str(raw.get("id") or key.hex()[:20])
        lineage = {column: raw[column] for column in _LINEAGE if column in raw}
        groups[key] = Candidates(id=name, prompt=to_json(row)["prompt"], lineage=lineage, place=place)
    if values.is_blank(text):
        raise Dropped("empty_response")
    if any(text == other.text for other in groups[key].responses):
        raise Dropped("repeated_response")
    groups[key].responses.append(Candidate(text=text, score=value, row=raw, place=place))


def _score(raw: Mapping[str, Any], name: str, place: str) -> float:
    value: Any = raw
    for part in name.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    if value is None:
        raise DataError(
            f"{place}: `{name}` is missing\nScore the responses first: lit-align score, or lit-align verify."
        )
    return float(value) if isinstance(value, bool) else values.number(value, key=name, place=place)


def _own(row: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in row.items() if key not in _COMMON}
