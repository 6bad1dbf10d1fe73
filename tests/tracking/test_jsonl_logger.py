"""metrics.jsonl: full precision, and after any resume the file of a run that was never interrupted."""

import json
import math
import pickle
from pathlib import Path

import pytest
import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback, ModelCheckpoint
from torch import nn
from torch.utils.data import DataLoader

from lit_align.errors import DataError
from lit_align.tracking import JsonlLogger, read_metrics


class Tiny(LightningModule):
    """A weight that moves the same way in every run."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1))

    def training_step(self, batch: torch.Tensor, batch_idx: int) -> torch.Tensor:
        loss = (self.weight**2).sum()
        self.log("train/loss", loss)
        return loss

    def validation_step(self, batch: torch.Tensor, batch_idx: int) -> None:
        self.log("val/weight", self.weight.detach().sum())

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.01)

    def train_dataloader(self) -> DataLoader:
        return DataLoader(torch.zeros(8, 1), batch_size=1)

    val_dataloader = train_dataloader


class DieAt(Callback):
    """An error in the middle of the run."""

    def __init__(self, step: int) -> None:
        self.step = step

    def on_train_batch_start(self, trainer: Trainer, *args: object) -> None:
        if trainer.global_step == self.step:
            raise RuntimeError("killed")


def fit(folder: Path, *, die_at: int | None = None, ckpt_path: Path | None = None) -> None:
    callbacks: list[Callback] = [ModelCheckpoint(every_n_train_steps=6, save_top_k=-1, filename="{step}")]
    trainer = Trainer(
        max_steps=20, logger=[JsonlLogger(folder)], callbacks=callbacks + ([DieAt(die_at)] if die_at else []),
        log_every_n_steps=2, val_check_interval=4, accelerator="cpu", num_sanity_val_steps=1,
        enable_progress_bar=False, enable_model_summary=False, default_root_dir=folder,
    )  # fmt: skip
    trainer.fit(Tiny(), ckpt_path=ckpt_path)


@pytest.mark.parametrize("die_at", [6, 7, 11, 17])
def test_a_resumed_run_leaves_the_file_of_an_uninterrupted_one(tmp_path: Path, die_at: int) -> None:
    fit(tmp_path / "whole")
    with pytest.raises(RuntimeError, match="killed"):
        fit(tmp_path / "parts", die_at=die_at)
    fit(tmp_path / "parts", ckpt_path=tmp_path / "parts" / "checkpoints" / f"step={die_at // 6 * 6}.ckpt")
    whole = (tmp_path / "whole" / "metrics.jsonl").read_bytes()
    assert (tmp_path / "parts" / "metrics.jsonl").read_bytes() == whole
    assert whole.count(b"train/loss") == 10


def test_a_fresh_fit_sets_the_old_file_aside_and_validation_appends(tmp_path: Path) -> None:
    fit(tmp_path)
    before = (tmp_path / "metrics.jsonl").read_bytes()
    fit(tmp_path)
    assert (tmp_path / "metrics-1.jsonl").read_bytes() == (tmp_path / "metrics.jsonl").read_bytes() == before
    Trainer(logger=JsonlLogger(tmp_path), accelerator="cpu", enable_progress_bar=False).validate(Tiny(), verbose=False)
    after = (tmp_path / "metrics.jsonl").read_bytes()
    assert after.startswith(before)
    assert after.count(b"\n") == before.count(b"\n") + 1


def test_floats_are_written_at_full_precision_and_read_back(tmp_path: Path) -> None:
    logger = JsonlLogger(tmp_path)
    values = {"a": 0.1 + 0.2, "b": math.inf, "c": -math.inf, "d": torch.tensor(1.5), "e": 3}
    logger.log_metrics(values, step=4)
    logger.log_metrics({"nan": math.nan}, step=5)
    rows = [json.loads(line) for line in logger.path.read_text().splitlines()]
    assert rows[0] == {"step": 4, "a": 0.30000000000000004, "b": "Infinity", "c": "-Infinity", "d": 1.5, "e": 3}
    points = read_metrics(logger.path)
    assert points[:5] == [(name, 4, float(value)) for name, value in values.items()]
    assert math.isnan(points[5][2])


def test_a_torn_last_line_is_dropped_and_a_torn_middle_line_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"step": 0, "a": 1.0}\n{"step": 1, "a')
    assert read_metrics(path) == [("a", 0, 1.0)]
    JsonlLogger(tmp_path).log_metrics({"a": 2.0}, step=1)
    assert read_metrics(path) == [("a", 0, 1.0), ("a", 1, 2.0)]
    path.write_text('{"step": 0, "a": 1.0}\n{"a\n{"step": 2, "a": 1.0}\n')
    with pytest.raises(DataError, match=r"metrics\.jsonl:2: not a line of metrics"):
        read_metrics(path)


def test_truncating_keeps_the_lines_up_to_the_step(tmp_path: Path) -> None:
    logger = JsonlLogger(tmp_path)
    for step in range(5):
        logger.log_metrics({"a": step / 3}, step=step)
    logger.truncate_after(2)
    logger.log_metrics({"a": 9.0}, step=3)
    assert read_metrics(logger.path) == [("a", 0, 0.0), ("a", 1, 1 / 3), ("a", 2, 2 / 3), ("a", 3, 9.0)]


def test_a_text_is_no_metric_and_an_open_logger_can_be_pickled(tmp_path: Path) -> None:
    logger = JsonlLogger(tmp_path)
    logger.log_metrics({"a": 1.0})
    with pytest.raises(TypeError, match="metric a must be a number, got 'x'"):
        logger.log_metrics({"a": "x"})
    pickle.loads(pickle.dumps(logger)).log_metrics({"a": 2.0}, step=1)
    assert read_metrics(logger.path) == [("a", 0, 1.0), ("a", 1, 2.0)]
