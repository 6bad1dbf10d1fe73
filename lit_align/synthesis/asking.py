"""How synthesis that asks round after round has its prompts answered."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol, final, runtime_checkable

from lit_align.data.records import parse_row
from lit_align.data.rows import PromptOnly
from lit_align.data.sources import read_raw
from lit_align.generation.base import MAX_FAILED, Generator, Sampling
from lit_align.generation.rows import Generated, generate_rows

Row = dict[str, Any]


@runtime_checkable
class Ask(Protocol):
    """Has prompts answered: in a folder of files, by a script in a test, by anything."""

    def __call__(self, name: str, rows: list[Row], *, role: str = "model") -> list[Row]:
        """The rows with a `response`, an `id`, a `sample` and a `finish_reason`, as generation writes them.

        Args:
            name: Of the round: another one each time, and the same ones in a repeated run.
            rows: Each with a `prompt`; other columns come back with the response.
            role: Who is asked, where several models have parts to play.
        """
        ...


@final
@dataclass(frozen=True, kw_only=True)
class FileAsk:
    """An `Ask` that keeps every round in a file; a repeated run reads what is there and asks for the rest.

    Args:
        folder: Takes a file a round, `NAME.jsonl`.
        generators: Who answers, by role.
        sampling: How, by role; one response to each prompt. Each round draws under a seed of its own.
        max_failed: Share of the responses of a round that may fail, by role; see `generate_rows`.

    Attributes:
        made: What each round came to, by its name.
    """

    folder: Path
    generators: Mapping[str, Generator]
    sampling: Mapping[str, Sampling]
    max_failed: Mapping[str, float] = field(default_factory=dict)
    made: dict[str, Generated] = field(default_factory=dict)

    def __call__(self, name: str, rows: list[Row], *, role: str = "model") -> list[Row]:
        """The rows with their responses; prompts that were refused or failed are left out, and listed beside it."""
        output = self.folder / f"{name}.jsonl"
        # A question that is asked again in a later round shall get another answer.
        sampling = replace(self.sampling[role], seed=self.sampling[role].seed_of(name, 0))
        generator = self.generators[role]
        self.made[name] = _answer(
            rows,
            output=output,
            generator=generator,
            sampling=sampling,
            max_failed=self.max_failed.get(role, MAX_FAILED),
            may_be_empty=True,
        )
        return [row for _, row in read_raw(output)]


def answered(
    rows: list[Row], *, output: Path, generator: Generator, sampling: Sampling, overwrite: bool = False
) -> list[Row]:
    """Rows with a `prompt` and what a generator responds, kept in a file; repeated, it asks for what is missing there.

    Args:
        rows: Their other columns come back with the response.
        output: The .jsonl file.
        generator: Who answers.
        sampling: How.
        overwrite: Whether what another generator said, or was asked, is replaced.
    """
    _answer(rows, output=output, generator=generator, sampling=sampling, overwrite=overwrite)
    return [row for _, row in read_raw(output)]


def _answer(rows: list[Row], *, output: Path, **options: Any) -> Generated:
    prompts = [_prompt(row, f"{output.stem}:{number}") for number, row in enumerate(rows, start=1)]
    return generate_rows(prompts, output=output, **options)


def _prompt(row: Row, place: str) -> PromptOnly:
    made = parse_row("prompt", row, place)
    assert isinstance(made, PromptOnly)
    return made
