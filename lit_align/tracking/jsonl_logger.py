"""A Lightning logger that keeps every metric in a local `metrics.jsonl`."""

from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any, final

from lightning.fabric.utilities.rank_zero import rank_zero_only
from lightning.pytorch.loggers.logger import Logger
from torch import nn

from lit_align.tracking.metrics_file import METRICS_FILE, as_number, drop_torn_line, encode, truncate_after
from lit_align.tracking.trainer_state import FitStart, fit_start


@final
class JsonlLogger(Logger):
    """Appends one line a logged step to `<save_dir>/metrics.jsonl`, flushed at once, floats at full precision.

    A fit that resumes from a checkpoint first drops the lines of the steps it is about to repeat, so that its file
    equals that of a run never interrupted. A fit that starts afresh sets an older file aside as `metrics-1.jsonl`.
    Anything else (validate, test, calls outside a Trainer) appends.

    Args:
        save_dir: The folder; also where Lightning then puts `checkpoints/`.
    """

    def __init__(self, save_dir: str | Path = ".") -> None:
        super().__init__()
        self._folder = Path(save_dir)
        self._file: IO[str] | None = None
        self._fit_start: FitStart | None = None

    @property
    def path(self) -> Path:
        """The metrics file."""
        return self._folder / METRICS_FILE

    @property
    def name(self) -> str:
        """Empty: files lie directly in `save_dir`."""
        return ""

    @property
    def version(self) -> str:
        """Empty: files lie directly in `save_dir`."""
        return ""

    @property
    def save_dir(self) -> str:
        """The local folder."""
        return str(self._folder)

    @rank_zero_only
    def log_hyperparams(self, params: Any, *args: Any, **kwargs: Any) -> None:
        """Does nothing: the config is written by `SaveConfig`."""

    @rank_zero_only
    def log_graph(self, model: nn.Module, input_array: Any = None) -> None:
        """Called by the Trainer at the start of each run: notes whether it is a fit."""
        self._fit_start = fit_start(model)

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, Any], step: int | None = None) -> None:
        """Appends one line."""
        step = step or 0
        if self._fit_start is not None:
            self._begin_fit(resumed=self._fit_start.resumed, step=step)
        if self._file is None:
            self._folder.mkdir(parents=True, exist_ok=True)
            drop_torn_line(self.path)
            self._file = open(self.path, "a", encoding="utf-8")  # noqa: SIM115  # stays open while the run goes on
        self._file.write(encode(step, {name: as_number(name, value) for name, value in metrics.items()}))
        self._file.flush()

    @rank_zero_only
    def truncate_after(self, step: int) -> None:
        """Drops the lines of steps later than `step`; a resumed fit does it by itself."""
        self._close()
        if self.path.exists():
            truncate_after(self.path, step)

    @rank_zero_only
    def finalize(self, status: str = "success") -> None:
        """Closes the file."""
        self._close()

    def __getstate__(self) -> dict[str, Any]:
        """An open file does not travel to another process."""
        return self.__dict__ | {"_file": None, "_fit_start": None}

    def _begin_fit(self, *, resumed: bool, step: int) -> None:
        self._fit_start = None
        if resumed:
            # Whatever was logged between the checkpoint and this first step, this run would have logged before it.
            self.truncate_after(step - 1)
        elif self.path.exists():
            self._close()
            numbers = (n for n in range(1, 1_000_000) if not self.path.with_name(f"metrics-{n}.jsonl").exists())
            self.path.rename(self.path.with_name(f"metrics-{next(numbers)}.jsonl"))

    def _close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None
