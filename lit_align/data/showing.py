"""Rows as people read them: turns, responses, scores, and what else there is, block by block."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from lit_align.data.categories import categories_of, tag_names
from lit_align.data.formats import RENAMED_COLUMNS, prompt_columns
from lit_align.data.guessing import guess_kind
from lit_align.data.records import (
    HELPSTEER_ATTRIBUTES,
    Conversation,
    Demonstration,
    Dropped,
    Kind,
    Preference,
    Rating,
    Row,
    Scored,
    parse_row,
)
from lit_align.errors import DataError

Shown = Literal["sft", "rating", "preference", "scored", "prompt", "json"]
Role = Literal["user", "assistant", "good", "bad", "other"]

_NATIVE = (
    "messages",
    "prompt",
    "response",
    "text",
    "chosen",
    "rejected",
    "responses",
    "rewards",
    "ratings",
    "strength",
)
_TOLD = ("topic", "difficulty", "quality")
_OF_PAIR = ("chosen_reward", "rejected_reward", "chosen_ratings", "rejected_ratings")


@dataclass(frozen=True, kw_only=True)
class Block:
    """A part of a row.

    Args:
        title: Whose turn it is, or what.
        notes: Scores and remarks that stand beside the title.
        body: The text.
        role: What it is, for its colour.
    """

    title: str
    body: str
    notes: tuple[str, ...] = ()
    role: Role = "other"


def blocks(raw: Mapping[str, Any], *, place: str, kind: Shown | None = None) -> Iterator[Block]:
    """A raw row, part by part; one that cannot be read as its kind comes as JSON, with the reason.

    Args:
        raw: The row.
        place: Where it stands.
        kind: What it is, or `json`; told by its columns unless given.
    """
    if kind == "json":
        yield _json_block(raw)
        return
    try:
        known: Kind = kind or guess_kind(raw, place=place)
        row = parse_row(known, raw, place)
    except Dropped as dropped:
        yield _json_block(raw, f"training drops this row: {dropped.reason}")
        return
    except DataError as error:
        yield _json_block(raw, str(error).partition("\n")[0].removeprefix(f"{place}: "))
        return
    yield from _parts(row)
    yield from _tags(raw)
    yield from _other_columns(raw, known)


def kind_of(raw: Mapping[str, Any], *, place: str) -> str:
    """What a row is, by its columns; `json` where they tell nothing."""
    try:
        return guess_kind(raw, place=place)
    except DataError:
        return "json"


def holds(value: Any, needle: str) -> bool:
    """Whether a text stands anywhere in a JSON value, in any case; `needle` is given casefolded."""
    if isinstance(value, str):
        return needle in value.casefold()
    if isinstance(value, Mapping):
        return any(holds(item, needle) for item in value.values())
    if isinstance(value, list | tuple):
        return any(holds(item, needle) for item in value)
    return not isinstance(value, bool | None) and needle in str(value).casefold()


def _parts(row: Row) -> Iterator[Block]:
    if isinstance(row, Demonstration):
        yield from [Block(title="text", body=row.text)] if row.text is not None else _turns(row.messages)
        return
    yield from _turns(row.prompt)
    if isinstance(row, Rating):
        notes = tuple(f"{name} {value:g}" for name, value in row.ratings.items())
        yield Block(title="response", body=row.response, notes=notes, role="assistant")
    elif isinstance(row, Preference):
        yield from _sides(row)
    elif isinstance(row, Scored):
        best = max(row.rewards)
        for number, (text, reward) in enumerate(zip(row.responses, row.rewards, strict=True), 1):
            role: Role = "good" if reward == best else "assistant"
            yield Block(title=f"response {number}", body=text, notes=(f"reward {reward:g}",), role=role)


def _turns(turns: Conversation) -> Iterator[Block]:
    for turn in turns:
        role: Role = turn.role if turn.role in ("user", "assistant") else "other"  # type: ignore[assignment]
        yield Block(
            title=turn.role, body=turn.content, notes=("not trained",) if turn.train is False else (), role=role
        )


def _sides(row: Preference) -> Iterator[Block]:
    strength = () if row.strength is None else (f"strength {row.strength:g}",)
    chosen = ("chosen", row.chosen, row.chosen_reward, row.chosen_ratings, "good")
    rejected = ("rejected", row.rejected, row.rejected_reward, row.rejected_ratings, "bad")
    for title, text, reward, ratings, role in (chosen, rejected):
        scores = () if reward is None else (f"reward {reward:g}",)
        rated = tuple(f"{name} {value:g}" for name, value in ratings.items())
        extra = strength if title == "chosen" else ()
        notes = (*scores, *rated, *extra, f"{len(text):,} characters")
        yield Block(title=title, body=text, notes=notes, role=role)  # type: ignore[arg-type]


def _tags(raw: Mapping[str, Any]) -> Iterator[Block]:
    """The tags, with the topic and the grades that tagging told."""
    if names := list(tag_names(raw)):
        told = {name: label for name, label in categories_of(raw) if name in _TOLD}
        notes = tuple(f"{name} {label}" for name, label in told.items())
        yield Block(title="tags", body=", ".join(names), notes=notes)


def _other_columns(raw: Mapping[str, Any], kind: Kind) -> Iterator[Block]:
    """The columns that the parts above do not show."""
    used = {*_NATIVE, *_OF_PAIR, *prompt_columns(raw), *RENAMED_COLUMNS}
    used |= set(HELPSTEER_ATTRIBUTES) if kind == "rating" else set()
    used |= {"tags"} if any(tag_names(raw)) else set()
    used -= {"response", "output", "completion", "answer"} if kind == "prompt" else set()
    lines = [f"{key}: {_json(value)}" for key, value in raw.items() if key not in used]
    if lines:
        yield Block(title="other columns", body="\n".join(lines))


def _json_block(raw: Mapping[str, Any], reason: str = "") -> Block:
    return Block(title="json", body=_json(raw, indent=2), notes=(reason,) if reason else ())


def _json(value: Any, indent: int | None = None) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, indent=indent, default=str)
