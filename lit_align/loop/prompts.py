"""Stages that read a loop's inputs: rows of a kind, and prompts divided so that no two parts share one."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, final

from lit_align.errors import ConfigError, DataError
from lit_align.files import sha256_of_json, write_jsonl
from lit_align.loop.parts import ROWS, Part
from lit_align.loop.stage import Artifact, Stage, StageContext


@final
@dataclass(frozen=True, kw_only=True)
class ReadRows(Stage):
    """Reads rows of a kind and writes them in the native columns, `rows.jsonl`.

    Args:
        source: A file, folder or hub id.
        kind: `sft`, `rating`, `preference`, `scored` or `prompt`.
        split: Which part of a folder or hub data set.
        most: Most rows; whole prompts are drawn, by a hash of seed and text.
        seed: Of the draw.
    """

    version: ClassVar[int] = 1
    shown: ClassVar[tuple[str, ...]] = ("kept",)

    source: Artifact
    kind: str
    split: str = "train"
    most: int | None = None
    seed: int = 0

    def run(self, output: Path, context: StageContext) -> dict[str, Any]:
        """Reads, draws and writes."""
        from lit_align.data.rows import to_json
        from lit_align.data.sources import read_rows
        from lit_align.loop.rows import draw

        rows, accounting = read_rows(self.source.path, self.kind, split=self.split)
        chosen = draw(rows, self.most, seed=self.seed)
        kept = {id(row) for row in chosen}
        for row in rows:
            if id(row) not in kept:
                accounting.drop("not_sampled", place=row.place)
        write_jsonl(output / ROWS, map(to_json, chosen))
        return accounting.to_dict()


@final
@dataclass(frozen=True, kw_only=True)
class SplitPrompts(Stage):
    """Divides prompts into disjoint parts, each a file `NAME.jsonl`; a prompt that stands twice is taken once.

    Where a prompt goes depends on the seed and its normalised text alone: prompts that are added later move no other,
    and a part does not move when the shares of those after it change. So name the part for evaluation first.

    Args:
        source: Rows of any kind with a prompt: a file, folder or hub id.
        parts: Share of the prompts by name of the part, in order; the shares are divided by their sum.
        split: Which part of a folder or hub data set.
        most: Most prompts of a part, by name.
        excluded: Rows whose prompts are left out, such as those of an evaluation.
        tokenizer: Model folder or hub id with which prompts are measured.
        max_tokens: Longer prompts are left out, so that every model of a loop answers the same ones.
        with_columns: Whether the other columns are kept too.
        seed: Of the division.
        may_be_empty: Whether there may be no prompts, or none for a part; else that is an error.
    """

    version: ClassVar[int] = 1
    shown: ClassVar[tuple[str, ...]] = ("parts",)

    source: Artifact
    parts: dict[str, float]
    split: str = "train"
    most: dict[str, int] = field(default_factory=dict)
    excluded: tuple[Part, ...] = ()
    tokenizer: Artifact | None = None
    max_tokens: int | None = None
    with_columns: bool = False
    seed: int = 0
    may_be_empty: bool = field(default=False, metadata={"fingerprint": False})

    def run(self, output: Path, context: StageContext) -> dict[str, Any]:
        """Reads, divides and writes; every row that is left out is counted under its reason."""
        from lit_align.data.accounting import Accounting
        from lit_align.data.rows import to_json
        from lit_align.data.sources import iter_rows, require_rows
        from lit_align.loop.rows import prompt_only

        if not self.parts or min(self.parts.values()) <= 0:
            raise ConfigError(f"{context.title}: every part needs a positive share, got {self.parts}")
        accounting = Accounting()
        rows = [*iter_rows(self.source.path, "prompt", counts=accounting, split=self.split)]
        if not self.may_be_empty:
            require_rows(accounting, self.source.path)
        dropped = Counter(accounting.dropped)
        groups: dict[str, list[tuple[float, Any]]] = {name: [] for name in self.parts}
        for key, row in self._usable(rows, dropped):
            rank = int(sha256_of_json([self.seed, key.hex()])[:13], 16) / 16**13
            groups[self._part(rank)].append((rank, row))
        counts = {}
        for name, group in groups.items():
            # The lowest ranks, so that a larger limit keeps the prompts of a smaller one.
            ranked = sorted(group, key=lambda pair: pair[0])[: self.most.get(name)]
            if not (ranked or self.may_be_empty):
                raise DataError(
                    f"{name}: no prompt is left for it, of {accounting.read} read\nDropped: {dict(dropped)}"
                )
            dropped["not_sampled"] += len(group) - len(ranked)
            kept = (row if self.with_columns else prompt_only(row) for _, row in ranked)
            counts[name] = write_jsonl(output / f"{name}.jsonl", map(to_json, kept))
        return {"read": accounting.read, "kept": sum(counts.values()), "dropped": dict(dropped), "parts": counts}

    def _part(self, rank: float) -> str:
        """The part whose interval of [0, 1) the rank lies in."""
        total, end = sum(self.parts.values()), 0.0
        for name, share in self.parts.items():
            end += share / total
            if rank < end:
                return name
        return list(self.parts)[-1]

    def _usable(self, rows: list[Any], dropped: Counter[str]) -> Iterator[tuple[bytes, Any]]:
        from lit_align.data.accounting import Accounting
        from lit_align.data.sources import iter_rows
        from lit_align.data.splitting import prompt_key

        held = {
            prompt_key(row) for part in self.excluded for row in iter_rows(part.path, "prompt", counts=Accounting())
        }
        measure = self._measure()
        seen: set[bytes] = set()
        for row in rows:
            key = prompt_key(row)
            reason = "held_out" if key in held else "duplicate" if key in seen else None
            if reason is None and self.max_tokens is not None and measure(row) > self.max_tokens:
                reason = "too_long"
            if reason is None:
                seen.add(key)
                yield key, row
            else:
                dropped[reason] += 1

    def _measure(self) -> Any:
        """Counts the tokens of a prompt."""
        if self.max_tokens is None:
            return None
        if self.tokenizer is None:
            raise ConfigError("max_tokens needs a tokenizer to count with")
        from lit_align.data.chat import ChatFormat
        from lit_align.loop.parts import model_path
        from lit_align.models.tokenizer import load_tokenizer

        chat = ChatFormat(load_tokenizer(model_path(self.tokenizer)))
        return lambda row: len(chat.encode_prompt(row.prompt))
