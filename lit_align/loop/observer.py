"""The seam for tracking: an observer is told what the runner does and never decides anything."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from lit_align.errors import LitAlignError
from lit_align.loop.plan import Node

RunStatus = Literal["FINISHED", "FAILED", "KILLED"]


class Observer:
    """Told about a run as it goes; every method does nothing here, and a subclass overrides what it needs.

    The `on_` methods are called in the driver's thread, in this order: `on_run_start`; for every stage that is reached
    either `on_stage_start` and then `on_stage_end` or `on_stage_failed`, or a single `on_stage_end(cached=True)`;
    `on_run_end`, whatever happened. Stages may overlap. A dry run calls nothing. A method must not raise for a tracker
    that is down: manifests are the truth, tracking is a copy.
    """

    def view(self, workdir: Path) -> str | None:
        """What a user types or opens to see the run; None where nothing is tracked."""
        return None

    def on_run_start(self, *, name: str, workdir: Path, nodes: Sequence[Node], resumed: bool) -> None:
        """The run holds its workdir's lock. `resumed`: some stage is already built or was begun by an earlier run."""

    def on_stage_start(self, node: Node) -> Mapping[str, str]:
        """The stage is about to start; returns what to add to its process's environment."""
        return {}

    def on_stage_end(self, node: Node, manifest: Mapping[str, Any], *, cached: bool) -> None:
        """The stage's folder is in place. `cached`: an earlier run built it (and may have told no observer)."""

    def on_stage_failed(self, node: Node, error: LitAlignError) -> None:
        """The stage failed, was stopped by a gate, or was interrupted (`Interrupted`)."""

    def on_run_end(self, *, status: RunStatus) -> None:
        """The run is over; results and report, if any, are written into the workdir by now."""
