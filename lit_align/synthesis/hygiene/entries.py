"""What cleaning remembers of a row."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lit_align.data.licences import row_licences
from lit_align.data.records import Row
from lit_align.data.splitting import prompt_key, prompt_turns, row_key
from lit_align.files import sha256_of_json
from lit_align.synthesis.hygiene.rule_tags import rule_tags
from lit_align.synthesis.hygiene.sampling import row_tags
from lit_align.synthesis.hygiene.settings import Cleaning
from lit_align.synthesis.hygiene.texts import compared_text, prompt_contents
from lit_align.synthesis.items import DOC_ID, REQUEST

EARLIER = -1
"""The position of a row of an earlier file."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """A row that is still in play.

    Args:
        position: Which row of the source it is, from 0, or `EARLIER`.
        place: Where it stands.
        key: What normalised repetitions share.
        text: The normalised text that is compared; of a prompt that holds a document, what it asks.
        document: The document that a prompt holds, by its id: such prompts are compared with one another alone.
        reward: Of the row, where rewards decide.
        tags: Of the row, where they decide.
        licences: That the row names.
    """

    position: int
    place: str
    key: bytes
    text: str
    document: str
    reward: float | None
    tags: tuple[str, ...]
    licences: tuple[str, ...]


def make_entry(position: int, raw: Mapping[str, Any], row: Row, *, cleaning: Cleaning) -> Entry:
    """What there is to remember of a row."""
    document, request = _about_document(raw, row) or ("", None)
    return Entry(
        position=position,
        place=row.place,
        key=(row_key if cleaning.over == "row" else prompt_key)(row),
        text=compared_text(row, over=cleaning.over, prompt=request),
        document=document,
        reward=reward_of(raw, cleaning.reward) if cleaning.keep == "reward" else None,
        tags=_tags(raw, row, cleaning),
        licences=row_licences(raw, default=cleaning.licence),
    )


def _about_document(raw: Mapping[str, Any], row: Row) -> tuple[str, str] | None:
    """The id of the document that a prompt of one turn holds, and the request beside it; None for other prompts."""
    meta = raw.get("meta")
    if not isinstance(meta, Mapping) or len(prompt_turns(row)) != 1:
        return None
    document, request = meta.get(DOC_ID), meta.get(REQUEST)
    return (document, request) if isinstance(document, str) and isinstance(request, str) else None


def _tags(raw: Mapping[str, Any], row: Row, cleaning: Cleaning) -> tuple[str, ...]:
    if cleaning.sample is None:
        return ()
    return rule_tags(prompt_contents(row)) if cleaning.tags_by == "rules" else row_tags(raw)


def reward_of(raw: Mapping[str, Any], column: str) -> float | None:
    """The number in a column, of several the highest; None where there is none."""
    value = raw.get(column, raw.get("rewards"))
    given = value if isinstance(value, list) else [value]
    numbers = [x for x in given if isinstance(x, int | float) and not isinstance(x, bool) and math.isfinite(x)]
    return max(numbers, default=None)


def groups_by_key(entries: Sequence[Entry]) -> list[list[int]]:
    """The numbers of entries with the same key, where there are several."""
    groups: dict[bytes, list[int]] = {}
    for number, entry in enumerate(entries):
        groups.setdefault(entry.key, []).append(number)
    return [group for group in groups.values() if len(group) > 1]


def rank(entry: Entry, *, seed: int) -> float:
    """A number in [0, 1) that depends on the seed and the row's content alone."""
    return int(sha256_of_json([seed, entry.key.hex()])[:13], 16) / 16**13
