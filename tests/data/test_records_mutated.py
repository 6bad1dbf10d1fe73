"""Whatever a row or a file is turned into: a row, a named drop, or an error that says where. Nothing else."""

import copy
import gzip
import json
import math
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from lit_align.data.records import (
    DROP_REASONS,
    KINDS,
    Demonstration,
    Dropped,
    Preference,
    Rating,
    Row,
    Scored,
    parse_row,
)
from lit_align.data.sources import read_rows
from lit_align.errors import ConfigError, DataError

MESSAGES = [
    {"role": "system", "content": "Be kind"},
    {"role": "user", "content": "Hi"},
    {"role": "assistant", "content": "Hello", "train": True},
    {"role": "user", "content": [{"type": "text", "text": "Ho"}]},
    {"role": "assistant", "content": "Bye"},
]
HH = "\n\nHuman: Hi\n\nAssistant: Hello\n\nHuman: Ho\n\nAssistant: "
ROWS: dict[str, dict[str, Any]] = {
    "messages": {"messages": MESSAGES, "id": 1},
    "text": {"text": "Once upon a time"},
    "helpsteer": {"prompt": "a\n<extra_id_1>Assistant\nb\n<extra_id_1>User\nc", "response": "d", "helpfulness": 3},
    "ratings": {"prompt": MESSAGES[:2], "response": "d", "ratings": {"style": 1, "truth": "N/A"}},
    "ultrafeedback": {"prompt": "Hi", "chosen": "a", "rejected": "b", "score_chosen": 8.5, "score_rejected": 2},
    "conversations": {"prompt": "Hi", "chosen": MESSAGES[1:3], "rejected": [MESSAGES[1], MESSAGES[4]], "strength": 2},
    "hh": {"chosen": HH + "good", "rejected": HH + "bad"},
    "alpaca": {"instruction": "Add.", "input": "1 2", "output": "3"},
    "sharegpt": {"conversations": [{"from": "human", "value": "a"}, {"from": "gpt", "value": "b"}], "system": "s"},
    "scored": {"prompt": "Hi", "responses": ["a", "b"], "rewards": [1, 0.5]},
}
ODD: list[Any] = [None, True, 0, -1, -100, 99, 1.5, math.nan, math.inf, 10**400]
ODD += ["", " ", "\n", "N/A", "4", "nan", "x" * 10_000, "\ud800", "\udc00\ud800", "\0", "\u2028", "\u200b", "{}", "[]"]
ODD += ["\n\nHuman:", "\n\nAssistant: x", "<extra_id_1>User\n", HH, [], {}, [[]], [{}], [None], [""], [1, 2]]
ODD += [
    {"role": "user"},
    [{"role": "user", "content": "x"}],
    [{"role": [], "content": {}}],
    b"bytes",
    {"a": {"b": [1]}},
]


def paths(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Every place inside a row."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, child in items:
        yield (*path, key)
        yield from paths(child, (*path, key))


def changed(row: dict[str, Any], path: tuple[Any, ...], change: Callable[[Any, Any], None]) -> dict[str, Any]:
    row = copy.deepcopy(row)
    parent: Any = row
    for key in path[:-1]:
        parent = parent[key]
    change(parent, path[-1])
    return row


def mutants(row: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield {}
    for path in paths(row):
        yield changed(row, path, lambda parent, key: parent.pop(key))
        for odd in ODD:
            yield changed(row, path, lambda parent, key, odd=odd: parent.__setitem__(key, odd))
        if isinstance(path[-1], str):
            yield changed(row, path, lambda parent, key: parent.__setitem__(key.upper(), parent.pop(key)))
            yield changed(row, path, lambda parent, key: parent.__setitem__("response", parent[key]))
            yield changed(row, path, lambda parent, key: parent.__setitem__("prompt", parent[key]))
        yield changed(row, path, lambda parent, key: parent.__setitem__(key, [parent[key]] * 3))


def texts(row: Row) -> list[str]:
    if isinstance(row, Demonstration):
        return [turn.content for turn in row.messages] + ([] if row.text is None else [row.text])
    prompt = [turn.content for turn in row.prompt]
    if isinstance(row, Rating):
        return [*prompt, row.response]
    if isinstance(row, Preference):
        return [*prompt, row.chosen, row.rejected]
    return [*prompt, *row.responses] if isinstance(row, Scored) else prompt


def numbers(row: Row) -> list[float]:
    if isinstance(row, Rating):
        return list(row.ratings.values())
    if isinstance(row, Scored):
        return list(row.rewards)
    given = (row.chosen_reward, row.rejected_reward, row.strength) if isinstance(row, Preference) else ()
    return [number for number in given if number is not None]


def is_helpful(message: str) -> bool:
    return message.startswith("rows.jsonl:7: ") and len(message.splitlines()) <= 6 and len(message) < 1000


def check(kind: str, raw: dict[str, Any]) -> str:
    try:
        row = parse_row(kind, raw, "rows.jsonl:7")
    except Dropped as dropped:
        return dropped.reason
    except DataError as error:
        return "error" if is_helpful(str(error)) else f"unhelpful: {error}"
    assert all(text.encode() is not None for text in texts(row))
    assert all(math.isfinite(number) for number in numbers(row))
    return "kept"


@pytest.mark.parametrize("name", ROWS)
def test_a_mutated_row_is_kept_dropped_by_name_or_an_error_with_its_place(name: str):
    outcomes = {check(kind, mutant) for mutant in mutants(ROWS[name]) for kind in KINDS}
    assert {"kept", "error"} <= outcomes <= {"kept", "error", *DROP_REASONS}
    assert len(outcomes) >= 4


@pytest.mark.parametrize("name", ROWS)
def test_the_row_of_the_caller_is_left_as_it_was(name: str):
    raw = copy.deepcopy(ROWS[name])
    for kind in KINDS:
        check(kind, raw)
    assert raw == ROWS[name]


def test_rows_mutated_many_times_over_are_handled_too():
    draw = random.Random(0)
    for _ in range(1000):
        row = copy.deepcopy(draw.choice(list(ROWS.values())))
        for _ in range(draw.randint(1, 4)):
            if row:
                path = draw.choice(list(paths(row)))
                odd = draw.choice(
                    [*ODD, *(copy.deepcopy(value) for other in ROWS.values() for value in other.values())]
                )
                row = changed(row, path, lambda parent, key, odd=odd: parent.__setitem__(key, odd))
        assert check(draw.choice(KINDS), row) in {"kept", "error", *DROP_REASONS}


# Whole files

LINES = b"".join(json.dumps(row).encode() + b"\n" for row in ROWS.values())


def _flip(data: bytearray, draw: random.Random) -> None:
    data[draw.randrange(len(data))] ^= 1 << draw.randrange(8)


def _insert(data: bytearray, draw: random.Random) -> None:
    place = draw.randrange(len(data))
    data[place:place] = draw.choice(
        [b"\0", b"\xff", b"\r", b"\n", b'"', b"{", b"}", b"[", b",", b"\\", b"\xef\xbb\xbf", b"NaN"]
    )


def _cut_out(data: bytearray, draw: random.Random) -> None:
    place = draw.randrange(len(data))
    del data[place : place + draw.randint(1, 40)]


def _cut_off(data: bytearray, draw: random.Random) -> None:
    del data[draw.randrange(1, len(data)) :]


def _double(data: bytearray, draw: random.Random) -> None:
    place = draw.randrange(len(data))
    data[place:place] = data[place : place + draw.randint(1, 80)]


def outcome(path: Path, kind: str) -> str:
    try:
        rows, counts = read_rows(path, kind, on_bad="drop")
    except (DataError, ConfigError) as error:
        return "refused" if str(path) in str(error) else f"without a place: {error}"
    adds_up = counts.read == counts.kept + counts.dropped.total() and len(rows) == counts.kept
    return "accounted for" if adds_up else counts.summary()


@pytest.mark.parametrize("compressed", [False, True], ids=["plain", "gzip"])
@pytest.mark.parametrize("mutate", [_flip, _insert, _cut_out, _cut_off, _double])
def test_a_damaged_file_never_raises_anything_else(
    tmp_path: Path, mutate: Callable[[bytearray, random.Random], None], compressed: bool
):
    draw = random.Random(mutate.__name__)
    path = tmp_path / ("a.jsonl.gz" if compressed else "a.jsonl")
    for _ in range(20):
        data = bytearray(gzip.compress(LINES, mtime=0) if compressed else LINES)
        for _ in range(draw.randint(1, 3)):
            mutate(data, draw)
        path.write_bytes(data)
        for kind in ("sft", "preference"):
            assert outcome(path, kind) in ("accounted for", "refused")
