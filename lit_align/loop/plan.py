"""The static plan of a run: its stages in order, what each waits for, and whether it is already built."""

from dataclasses import dataclass

from lit_align.loop.stage import Artifact, Stage


@dataclass(frozen=True, kw_only=True, eq=False)
class Node:
    """A stage in its place in the plan.

    Args:
        number: Its place in the order of the program, from 1.
        title: Its name in the program.
        iteration: The loop's iteration it belongs to, if any.
        stage: What is run.
        artifact: What comes of it.
        waits_for: The stages that must be done first.
        num_devices: Processes of the stage; more than one goes through the launcher command.
    """

    number: int
    title: str
    iteration: int | None
    stage: Stage
    artifact: Artifact
    waits_for: tuple["Node", ...]
    num_devices: int = 1

    @property
    def label(self) -> str:
        """Title and iteration, as printed."""
        return self.title if self.iteration is None else f"{self.title} (iteration {self.iteration})"
