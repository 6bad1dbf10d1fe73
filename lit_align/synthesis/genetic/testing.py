"""How the tests of solutions are run, and their verdicts kept."""

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, final, runtime_checkable

from lit_align.data.sources import read_raw
from lit_align.files import write_jsonl
from lit_align.synthesis.genetic.steps import SOLUTION
from lit_align.synthesis.items import Item
from lit_align.synthesis.verifiers.base import Verifier


@runtime_checkable
class Examine(Protocol):
    """Says which solutions pass their tests."""

    def __call__(self, name: str, items: list[Item]) -> list[bool]:
        """One verdict for each item, by the solution and the `test_list` in its `meta`.

        Args:
            name: Of the round: another one each time, and the same ones in a repeated run.
            items: Solved tasks with tests, at least one.
        """
        ...


@final
@dataclass(frozen=True, kw_only=True)
class FileExam:
    """An `Examine` that keeps its verdicts in a file: a test may run out of time on one day and not on the next.

    Args:
        folder: Takes a file a round, `NAME.jsonl`, and `NAME.solutions.jsonl`, what was tested.
        verifier: Runs the tests, such as `CodeVerifier(mbpp, ...)`.
        workers: Solutions tested at once.
    """

    folder: Path
    verifier: Verifier
    workers: int = 1

    def __call__(self, name: str, items: list[Item]) -> list[bool]:
        """The verdicts; a repeated run reads what is there and runs the rest."""
        from lit_align.synthesis.verifiers.rows import verify_rows

        solutions = self.folder / f"{name}.solutions.jsonl"
        verdicts = self.folder / f"{name}.jsonl"
        write_jsonl(
            solutions,
            (
                {"id": item["id"], "response": item["meta"][SOLUTION], "test_list": item["meta"]["test_list"]}
                for item in items
            ),
        )
        verify_rows(self.verifier, solutions, verdicts, key="genetic", workers=self.workers)
        return [row["verdict"]["passed"] for _, row in read_raw(verdicts)]
