"""Training that stops and continues ends where training that never stopped ends, byte for byte."""

import multiprocessing
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import Callback, Trainer, seed_everything
from lightning.pytorch.callbacks import ModelCheckpoint
from torch.optim import AdamW

from lit_align.errors import ConfigError, Interrupted, NonFiniteError
from lit_align.modules.callbacks import StopOnSignal

GPT2 = {
    "model_type": "gpt2",
    "vocab_size": 36,
    "n_embd": 32,
    "n_layer": 2,
    "n_head": 4,
    "n_positions": 64,
    "bos_token_id": 2,
    "eos_token_id": 3,
}
EPOCHS, STEPS = 2, 4  # 31 training rows, 8 in a step; a step has two micro-batches


class Stopped(Exception):
    """What stops a run in these tests."""


class At(Callback):
    """Does something in a hook, the first time it comes after so many optimizer steps."""

    def __init__(self, hook: str, step: int, do: Callable[[], None]) -> None:
        todo = [do]

        def act(trainer: Trainer, *args: Any) -> None:
            if todo and trainer.global_step == step:
                todo.pop()()

        setattr(self, hook, act)


class RowOrder(Callback):
    """Keeps the rows of each micro-batch by epoch."""

    def __init__(self) -> None:
        self.rows: dict[int, list[int]] = {}

    def on_train_batch_start(self, trainer: Trainer, pl_module: Any, batch: Any, batch_idx: int) -> None:
        self.rows.setdefault(trainer.current_epoch, []).extend(batch.row_ids.tolist())


def stop() -> None:
    raise Stopped


def kill() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def terminate() -> None:
    os.kill(os.getpid(), signal.SIGTERM)


@pytest.fixture
def fit(make_module: Callable, make_data: Callable, make_trainer: Callable, tmp_path: Path) -> Callable[..., Path]:
    """Trains a GPT-2 with dropout, AdamW, a warm-up, validation every epoch and a checkpoint every step."""
    import lit_align

    def run(name: str, *callbacks: Callback, objective: str = "SFT", **options: Any) -> Path:
        arguments = {
            "backbone": {"config": GPT2, "dropout": 0.1, **options.pop("backbone", {})},
            "optimizer": lambda params: AdamW(params, lr=1e-2),
            "schedule": lit_align.Schedule(shape="cosine", warmup_steps=2),
        }
        module = make_module(objective, **{**arguments, **options.pop("module", {})})
        data = make_data(objective, validation_fraction=0.2, **options.pop("data", {}))
        every_step = ModelCheckpoint(dirpath=tmp_path / name, filename="{step}", every_n_train_steps=1, save_top_k=-1)
        ckpt_path = options.pop("ckpt_path", None)
        settings = {"max_epochs": EPOCHS, "accumulate_grad_batches": 2, **options}
        trainer = make_trainer(name, callbacks=[*callbacks, every_step], **settings)
        seed_everything(11 if ckpt_path is None else 12, verbose=False)
        trainer.fit(module, datamodule=data, ckpt_path=ckpt_path)
        trainer.save_checkpoint(tmp_path / name / "end.ckpt")
        return tmp_path / name

    return run


@pytest.fixture
def in_a_process() -> Callable[[Callable[[], Any]], int]:
    """Runs a function in a fork of this process, which may be killed, and returns its exit code."""

    def run(function: Callable[[], Any]) -> int:
        child = multiprocessing.get_context("fork").Process(target=function)
        child.start()
        child.join()
        assert child.exitcode is not None
        return child.exitcode

    return run


def differences(a: Any, b: Any, place: str) -> list[str]:
    """Places where two nested structures differ."""
    if isinstance(a, dict) and a.keys() == b.keys():
        return [found for key in a for found in differences(a[key], b[key], f"{place}.{key}")]
    if isinstance(a, list | tuple) and len(a) == len(b):
        return [found for number in range(len(a)) for found in differences(a[number], b[number], f"{place}.{number}")]
    equal = torch.equal(a, b) if isinstance(a, torch.Tensor) else a == b
    return [] if equal else [place]


def assert_same_end(one: Path, other: Path) -> None:
    ends = [torch.load(folder / "end.ckpt", weights_only=True) for folder in (one, other)]
    for end in ends:
        del end["lit_align"]["resumed"]["random_states"]["python"]  # the type checks of these tests draw from it
    parts = ("state_dict", "optimizer_states", "lr_schedulers", "lit_align", "global_step", "epoch")
    assert not [place for part in parts for place in differences(ends[0][part], ends[1][part], part)]
    assert (one / "metrics.jsonl").read_text() == (other / "metrics.jsonl").read_text()


STOPS = [
    ("on_train_batch_start", 1),  # in the middle of an epoch
    ("on_before_zero_grad", 2),  # in the middle of a step
    ("on_validation_start", STEPS),  # the checkpoint is there, the validation that follows it is not
    ("on_validation_end", STEPS),
    ("on_train_epoch_start", STEPS),  # at the boundary of two epochs
    ("on_train_batch_start", STEPS + 3),
    ("on_validation_start", EPOCHS * STEPS),  # nothing is left but a validation
]


def test_a_run_stopped_anywhere_ends_as_if_it_had_not_been(fit: Callable, tmp_path: Path) -> None:
    whole = fit("whole")
    for number, (hook, step) in enumerate(STOPS):
        name = f"parts{number}"
        with pytest.raises(Stopped):
            fit(name, At(hook, step, stop))
        assert_same_end(whole, fit(name, ckpt_path=tmp_path / name / f"step={step}.ckpt"))


class StopEarly(Callback):
    """Ends training after a step, as early stopping and time limits do."""

    def on_train_batch_end(self, trainer: Trainer, *args: Any) -> None:
        trainer.should_stop = trainer.global_step == STEPS + 1


@pytest.mark.parametrize(
    ("first", "callbacks"),
    [({"max_steps": 3}, []), ({"max_steps": STEPS + 1}, []), ({"max_epochs": 1}, []), ({}, [StopEarly()])],
)
def test_a_finished_run_is_extended(first: dict, callbacks: list, fit: Callable, tmp_path: Path) -> None:
    import lit_align

    constant = {"schedule": lit_align.Schedule(warmup_steps=2)}
    whole = fit("whole", module=constant)
    end = fit("parts", *callbacks, module=constant, **first) / "end.ckpt"
    assert torch.load(end, weights_only=True)["global_step"] < EPOCHS * STEPS
    again = fit("parts", module=constant, ckpt_path=end)
    if callbacks:  # which ended with a validation
        lines = (again / "metrics.jsonl").read_text().splitlines()
        kept = [line for line in lines if f'"step": {STEPS + 1}, "validation' not in line]
        assert len(kept) == len(lines) - 1
        (again / "metrics.jsonl").write_text("".join(line + "\n" for line in kept))
    assert_same_end(whole, again)


@pytest.mark.parametrize("objective", ["RewardRegression", "RPO"])
def test_reward_models_and_preferences_resume_likewise(objective: str, fit: Callable, tmp_path: Path) -> None:
    options = {"lm_weight": 0.1, "inner_size": 8} if objective == "RewardRegression" else {"sft_weight": 0.1}
    whole = fit("whole", objective=objective, module=options)
    with pytest.raises(Stopped):
        fit("parts", At("on_train_batch_start", 3, stop), objective=objective, module=options)
    again = fit("parts", objective=objective, module=options, ckpt_path=tmp_path / "parts" / "step=3.ckpt")
    assert_same_end(whole, again)


def test_a_killed_process_continues_from_its_newest_checkpoint(
    fit: Callable, in_a_process: Callable, tmp_path: Path
) -> None:
    whole = fit("whole")
    assert in_a_process(lambda: fit("parts", At("on_after_backward", 5, kill))) == -signal.SIGKILL
    assert not (tmp_path / "parts" / "step=6.ckpt").exists()
    assert_same_end(whole, fit("parts", ckpt_path=tmp_path / "parts" / "step=5.ckpt"))


@pytest.mark.parametrize("step", [2, STEPS - 1])  # the last but one: the signal's step ends the epoch
def test_sigterm_stops_after_the_step_and_the_run_continues(step: int, fit: Callable, tmp_path: Path) -> None:
    whole = fit("whole")
    checkpoint = tmp_path / "stopped.ckpt"
    handlers = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)]
    # In the first micro-batch of a step: the second one still runs.
    with pytest.raises(Interrupted, match=f"after step {step + 1}"):
        fit("parts", At("on_train_batch_start", step, terminate), StopOnSignal(checkpoint))
    assert [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)] == handlers
    assert_same_end(whole, fit("parts", StopOnSignal(checkpoint), ckpt_path=checkpoint))
    assert [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)] == handlers


def test_a_signal_right_after_resuming_does_not_stop_within_a_step(fit: Callable, tmp_path: Path) -> None:
    with pytest.raises(Stopped):
        fit("parts", At("on_train_batch_start", 2, stop))
    checkpoint = tmp_path / "stopped.ckpt"
    with pytest.raises(Interrupted, match="after step 3"):
        fit(
            "parts",
            At("on_train_batch_start", 2, terminate),
            StopOnSignal(checkpoint),
            ckpt_path=tmp_path / "parts" / "step=2.ckpt",
        )


def test_a_second_signal_and_one_before_training_stop_at_once(fit: Callable, tmp_path: Path) -> None:
    def twice() -> None:
        terminate()
        terminate()

    with pytest.raises(Interrupted, match="within a step"):
        fit("parts", At("on_train_batch_start", 2, twice), StopOnSignal(tmp_path / "stopped.ckpt"))
    with pytest.raises(Interrupted, match="before the first step"):
        fit("again", At("on_fit_start", 0, terminate), StopOnSignal(tmp_path / "stopped.ckpt"))
    assert not (tmp_path / "stopped.ckpt").exists()


def test_every_row_comes_once_an_epoch_in_an_order_of_its_own(fit: Callable, tmp_path: Path) -> None:
    order, before, after = RowOrder(), RowOrder(), RowOrder()
    fit("whole", order)
    assert [sorted(rows) for rows in order.rows.values()] == [sorted(order.rows[0])] * EPOCHS
    assert sorted(order.rows[0]) == list(range(len(order.rows[0])))
    assert order.rows[0] != order.rows[1]
    with pytest.raises(Stopped):
        fit("parts", before, At("on_train_batch_start", 2, stop))
    fit("parts", after, ckpt_path=tmp_path / "parts" / "step=2.ckpt")
    unstepped = len(before.rows[0]) - 16  # of the step that was stopped
    assert before.rows[0][: -unstepped or None] + after.rows[0] == order.rows[0]


def test_every_checkpoint_is_read_without_unpickling_objects(fit: Callable) -> None:
    checkpoints = sorted(fit("whole", max_epochs=1).glob("*.ckpt"))
    assert len(checkpoints) == STEPS + 1
    for path in checkpoints:
        assert torch.load(path, weights_only=True)["global_step"] > 0


@pytest.mark.slow
@pytest.mark.parametrize("step", [2, STEPS])
def test_worker_processes_change_nothing(step: int, fit: Callable, tmp_path: Path) -> None:
    whole = fit("whole")
    with pytest.raises(Stopped):
        fit("parts", At("on_train_batch_start", step, stop), data={"num_workers": 2})
    again = fit("parts", data={"num_workers": 2}, ckpt_path=tmp_path / "parts" / f"step={step}.ckpt")
    assert_same_end(whole, again)


def test_a_gradient_that_is_not_finite_stops_before_it_reaches_the_weights(fit: Callable, tmp_path: Path) -> None:
    class Poison(Callback):
        def on_after_backward(self, trainer: Trainer, pl_module: Any) -> None:
            if trainer.global_step == 2:
                next(pl_module.parameters()).grad[0, 0] = float("nan")

    with pytest.raises(NonFiniteError, match="step 2"):
        fit("poisoned", Poison())
    newest = torch.load(tmp_path / "poisoned" / "step=2.ckpt", weights_only=True)
    assert not (tmp_path / "poisoned" / "step=3.ckpt").exists()
    assert all(value.isfinite().all() for value in newest["state_dict"].values())


def test_weights_that_are_not_finite_are_not_written(fit: Callable, tmp_path: Path) -> None:
    class Poison(Callback):
        def on_train_batch_end(self, trainer: Trainer, pl_module: Any, *args: Any) -> None:
            if trainer.global_step == 2:
                next(pl_module.parameters()).data[0, 0] = float("inf")

    with pytest.raises(NonFiniteError, match="not finite"):
        fit("poisoned", Poison())
    assert sorted(path.name for path in (tmp_path / "poisoned").glob("*.ckpt")) == ["step=1.ckpt"]


def test_a_checkpoint_of_other_weights_or_another_objective_is_refused(fit: Callable, tmp_path: Path) -> None:
    end = fit("whole", max_epochs=1) / "end.ckpt"
    with pytest.raises(ConfigError, match="fingerprints differ"):
        fit("weights", backbone={"seed": 1}, ckpt_path=end)
    with pytest.raises(ConfigError, match=r"of SFT, not of DPO"):
        fit("objective", objective="DPO", ckpt_path=end)


def test_an_epoch_is_not_continued_in_micro_batches_of_another_size(fit: Callable, tmp_path: Path) -> None:
    fit("parts", max_steps=STEPS + 1)
    within, between = (tmp_path / "parts" / f"step={step}.ckpt" for step in (STEPS + 1, STEPS))
    with pytest.raises(ConfigError, match="accumulate_grad_batches 2, this run has 4"):
        fit("within", ckpt_path=within, accumulate_grad_batches=4)
    fit("between", ckpt_path=between, accumulate_grad_batches=4, max_epochs=EPOCHS)


def test_a_missing_checkpoint_is_named(fit: Callable) -> None:
    with pytest.raises(ConfigError, match="nowhere: no such"):
        fit("whole", ckpt_path="nowhere")
