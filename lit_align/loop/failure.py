"""What the driver says of a stage that failed: the stage's own error, or what its end tells."""

import json
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from lit_align.announce import announce
from lit_align.errors import Interrupted, LitAlignError, ResourceError
from lit_align.loop import gates
from lit_align.loop.manifest import ERROR, LOG
from lit_align.loop.plan import Node

_CONTINUE = "The same command continues from here."
_ADVICE = {LitAlignError: "The log has the traceback.", gates.GateError: "What is built stays; change what led here."}


def stage_error(node: Node, *, returncode: int, folder: Path) -> LitAlignError:
    """The error of a stage that ended with `returncode` (minus the signal's number) in `folder`."""
    log = f"log: {folder / LOG}"
    report = _report(folder)
    if returncode > 0 and report is not None:
        kind = _kind(report["type"], report["exit_code"])
        advice = _ADVICE.get(kind, _CONTINUE)
        return kind("\n".join([f"{node.label}: {report['message']}", log, advice]))
    if returncode == -signal.SIGKILL:
        cause = f"{node.label} was killed (SIGKILL), most likely because memory ran out"
        return ResourceError("\n".join([cause, log, f"Fewer stages at once (--parallel) need less. {_CONTINUE}"]))
    if returncode in (-signal.SIGTERM, -signal.SIGINT):
        return Interrupted("\n".join([f"{node.label} was interrupted", log, _CONTINUE]))
    if returncode < 0:
        return LitAlignError("\n".join([f"{node.label} crashed ({_signal_name(-returncode)})", log]))
    end = "without a manifest" if returncode == 0 else f"with exit code {returncode}"
    return LitAlignError("\n".join([f"{node.label} ended {end}", log]))


@contextmanager
def telling(stopped: Callable[[], None]) -> Iterator[None]:
    """Calls `stopped` where a stage fails, before the error goes on, but not where a run is interrupted."""
    try:
        yield
    except Interrupted:
        raise
    except LitAlignError:
        try:
            stopped()
        except Exception as error:  # the stage's error must not be lost behind another
            announce(f"what there is could not be reported: {type(error).__name__}: {error}")
        raise


def _report(folder: Path) -> dict[str, Any] | None:
    try:
        return json.loads((folder / ERROR).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def _kind(name: str, exit_code: int) -> type[LitAlignError]:
    kinds = {kind.__name__: kind for kind in (gates.GateError, *_subclasses(LitAlignError))}
    same_code = (kind for kind in kinds.values() if kind.exit_code == exit_code)
    return kinds.get(name) or next(same_code, LitAlignError)


def _subclasses(kind: type[LitAlignError]) -> list[type[LitAlignError]]:
    return [k for child in kind.__subclasses__() for k in (child, *_subclasses(child))]


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
