"""Stages that make items: read them, transform them, compose prompts about them, parse what a generator responded."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, final

from lit_align.data.accounting import Accounting
from lit_align.errors import DataError
from lit_align.files import write_jsonl
from lit_align.loop.parts import ROWS, Part
from lit_align.loop.sampling import read_rows
from lit_align.loop.stage import Artifact, Stage, StageContext
from lit_align.synthesis.prompts.real import given
from lit_align.synthesis.steps import Step
from lit_align.synthesis.transforms import Transform


@final
@dataclass(frozen=True, kw_only=True)
class Given(Stage):
    """Writes texts of a recipe as items, `rows.jsonl`."""

    version: ClassVar[int] = 1
    shown: ClassVar[tuple[str, ...]] = ("kept",)

    kind: str
    texts: tuple[str, ...]
    meta: dict[str, str]

    def run(self, output: Path, context: StageContext) -> dict[str, Any]:
        """Writes."""
        number = write_jsonl(output / ROWS, given(self.kind, self.texts, meta=self.meta))
        return {"read": number, "kept": number, "dropped": {}}


@final
@dataclass(frozen=True, kw_only=True)
class ReadItems(Stage):
    """Reads rows from outside as items, `rows.jsonl`.

    Args:
        source: A file, folder or hub id.
        reader: Makes items of raw rows.
        split: Which part of a folder or hub data set.
    """

    version: ClassVar[int] = 1
    shown: ClassVar[tuple[str, ...]] = ("kept",)

    source: Artifact
    reader: Transform
    split: str = "train"

    def run(self, output: Path, context: StageContext) -> dict[str, Any]:
        """Reads, and refuses a source of which nothing is left."""
        from lit_align.data.sources import read_raw, require_rows

        counts = Accounting()
        rows = (row for _, row in read_raw(self.source.path, split=self.split))
        write_jsonl(output / ROWS, self.reader.apply(rows, counts=counts))
        require_rows(counts, self.source.path)
        return counts.to_dict()


@final
@dataclass(frozen=True, kw_only=True)
class Apply(Stage):
    """Does something to items that needs no model, `rows.jsonl`.

    Args:
        transform: What is done.
        items: To which items, one file after the other.
        min_items: The stage fails if fewer are left.
    """

    version: ClassVar[int] = 1
    shown: ClassVar[tuple[str, ...]] = ("kept",)

    transform: Transform
    items: tuple[Part, ...]
    min_items: int = field(default=1, metadata={"fingerprint": False})

    def run(self, output: Path, context: StageContext) -> dict[str, Any]:
        """Applies and counts."""
        counts = Accounting()
        write_jsonl(output / ROWS, self.transform.apply(_chained(self.items), counts=counts))
        require_items(counts, self.min_items, context)
        return counts.to_dict()


@final
@dataclass(frozen=True, kw_only=True)
class Compose(Stage):
    """Writes the prompts of a step, `rows.jsonl`; there may be none.

    Args:
        step: What is asked.
        items: About which items.
        made: What an earlier round gave; then only what is missing is asked for.
    """

    version: ClassVar[int] = 1
    shown: ClassVar[tuple[str, ...]] = ("prompts",)

    step: Step
    items: tuple[Part, ...]
    made: Part | None = None

    def run(self, output: Path, context: StageContext) -> dict[str, Any]:
        """Composes."""
        made = None if self.made is None else read_rows(self.made.path)
        return {"prompts": write_jsonl(output / ROWS, self.step.compose(_chained(self.items), made=made))}


@final
@dataclass(frozen=True, kw_only=True)
class Parse(Stage):
    """Writes the items that responses hold, `rows.jsonl`; every response is kept or dropped under a counted reason.

    Args:
        step: What was asked.
        responses: Rows of `Generate`, one file a round.
        min_items: The stage fails if they hold fewer items.
    """

    version: ClassVar[int] = 1
    shown: ClassVar[tuple[str, ...]] = ("responses", "kept")

    step: Step
    responses: tuple[Part, ...]
    min_items: int = field(default=1, metadata={"fingerprint": False})

    def run(self, output: Path, context: StageContext) -> dict[str, Any]:
        """Parses and counts."""
        counts, number = Accounting(), 0

        def responses() -> Iterator[dict[str, Any]]:
            nonlocal number
            for row in _chained(self.responses):
                number += 1
                yield row

        write_jsonl(output / ROWS, self.step.parse(responses(), counts=counts))
        require_items(counts, self.min_items, context)
        return {"responses": number, **counts.to_dict()}


def _chained(parts: Iterable[Part]) -> Iterator[dict[str, Any]]:
    for part in parts:
        yield from read_rows(part.path)


def require_items(counts: Accounting, least: int, context: StageContext) -> None:
    """Refuses a step that gives too little.

    Raises:
        DataError: Fewer items are left, with the most common reason.
    """
    if counts.kept < least:
        most = f"; most were dropped for {counts.most_common_reason}" if counts.most_common_reason else ""
        raise DataError(
            f"{context.title}: {counts.kept} of {counts.read} are left, at least {least} are needed{most}\n"
            "Read the responses in the stage before this one. A model that cannot do what is asked needs another "
            "template or a stronger model; `min_items: 0` goes on with what there is."
        )
