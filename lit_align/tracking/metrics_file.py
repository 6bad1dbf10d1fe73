"""The file `metrics.jsonl`: an object a line, full precision, no clock, so that equal runs write equal files."""

import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from lit_align.errors import DataError
from lit_align.files import atomic_write

METRICS_FILE = "metrics.jsonl"

Point = tuple[str, int, int | float]
"""A metric's name, step and value."""

Timed = tuple[Point, int]
"""A point and the time at which it was logged, in milliseconds since 1970."""

# JSON has no such numbers; these strings are protobuf's spelling of them, and `float()` reads them.
_SPELLING = {math.inf: "Infinity", -math.inf: "-Infinity"}


def encode(step: int, metrics: Mapping[str, int | float]) -> str:
    r"""One line of the file, newline included.

    >>> encode(3, {"train/loss": 0.1, "train/bad": float("nan")})
    '{"step": 3, "train/loss": 0.1, "train/bad": "NaN"}\n'
    """
    return json.dumps({"step": step} | {name: _spell(value) for name, value in metrics.items()}) + "\n"


def as_number(name: str, value: Any) -> int | float:
    """A metric's value as a Python number; integers stay integers."""
    if isinstance(value, str | bytes) or not (isinstance(value, int | float) or hasattr(value, "__float__")):
        raise TypeError(f"metric {name} must be a number, got {value!r}")
    return value if isinstance(value, int | float) and not isinstance(value, bool) else float(value)


def read_metrics(path: str | Path) -> list[Point]:
    """All points of a metrics file in order; a point logged twice keeps its last value and place.

    Raises:
        DataError: A line other than a torn last one is not such an object.
    """
    points: dict[tuple[str, int], float] = {}
    for step, metrics in _lines(Path(path)):
        for name, value in metrics.items():
            points.pop((name, step), None)
            points[name, step] = float(value)
    return [(name, step, value) for (name, step), value in points.items()]


def truncate_after(path: Path, step: int) -> int:
    """Drops the lines of steps later than `step`, and a torn last line. Returns the number of lines dropped."""
    kept = [(at, metrics) for at, metrics in _lines(path) if at <= step]
    before = path.read_text(encoding="utf-8").count("\n")
    with atomic_write(path) as file:
        file.writelines(encode(at, metrics) for at, metrics in kept)
    return before - len(kept)


def drop_torn_line(path: Path) -> None:
    """Removes what a killed process left of its last line, so that the next one does not stick to it."""
    if not path.exists():
        return
    with open(path, "rb+") as file:
        content = file.read()
        if not content.endswith(b"\n"):
            file.truncate(content.rfind(b"\n") + 1)


def _spell(value: int | float) -> int | float | str:
    return "NaN" if value != value else _SPELLING.get(value, value)  # only NaN differs from itself


def _lines(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    lines = path.read_text(encoding="utf-8").split("\n")
    # A process killed while it wrote leaves a last line without newline; what precedes it is whole.
    for number, line in enumerate(lines[:-1], start=1):
        try:
            row = json.loads(line)
            yield int(row.pop("step")), row
        except (ValueError, KeyError, AttributeError, TypeError) as error:
            message = f'{path}:{number}: not a line of metrics ({error})\nExpected {{"step": 0, "name": value, ...}}.'
            raise DataError(message) from error
