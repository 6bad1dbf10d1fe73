"""The folder of a run, and the checkpoint in it that a run continues from."""

from pathlib import Path

from lit_align.announce import announce
from lit_align.errors import ConfigError

RUNS = Path("runs")


def new_folder(name: str) -> Path:
    """`runs/NAME/1`, or the number after the highest that is taken."""
    return RUNS / name / str(max(_numbers(RUNS / name), default=0) + 1)


def latest_folder(name: str) -> Path:
    """The newest `runs/NAME/NUMBER`, or the first one where there is none."""
    return RUNS / name / str(max(_numbers(RUNS / name), default=1))


def last_checkpoint(root: Path, *, command: str) -> str | None:
    """The newest checkpoint in a run's folder, whoever wrote it: the end, the clock, an interruption or a metric.

    A `fit` without one begins anew and says so, so that the same command can start and continue a job.

    Raises:
        ConfigError: There is none, and `command` needs one.
    """
    files = sorted(root.rglob("*.ckpt"), key=lambda file: file.stat().st_mtime_ns)
    if files:
        announce(f"continuing from {files[-1]}" if command == "fit" else f"weights of {files[-1]}")
        return str(files[-1])
    if command != "fit":
        raise ConfigError(f"{root}: no checkpoint here\nName the run's folder: --trainer.default_root_dir")
    announce(f"no checkpoint in {root} yet: training begins at the first step")
    return None


def _numbers(folder: Path) -> list[int]:
    return [int(path.name) for path in folder.glob("*") if path.name.isdecimal()]
