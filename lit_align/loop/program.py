"""Programs: ordinary Python that adds a loop's stages in order, chosen by class path in a recipe."""

from abc import ABC, abstractmethod
from typing import ClassVar

from lit_align.loop.executor import PRELOAD
from lit_align.loop.runner import Runner


class Program(ABC):
    """What `lit-align run` runs: the constructor's signature is the recipe's schema.

    Attributes:
        preload: Modules that the parent of the stages' processes imports, once for all stages.
    """

    preload: ClassVar[tuple[str, ...]] = PRELOAD

    @abstractmethod
    def build(self, runner: Runner) -> None:
        """Adds the stages (`runner.add`); nothing is run and no stage's output exists yet, so nothing may be read."""

    def finish(self, runner: Runner) -> int | None:
        """Called when all stages are built: writes results and report; returns an exit code, None for 0."""
        return None

    def stopped(self, runner: Runner) -> None:  # noqa: B027 - a hook that may stay empty
        """Called when a stage failed or a gate stopped the run, before its error goes on: may report what is there."""
