"""What a step with a clipped gradient changes."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch.optim import SGD


@pytest.fixture
def change(make_module: Callable, make_data: Callable, make_trainer: Callable, read_metrics_of: Callable) -> Callable:
    """Takes one step at a learning rate of 1; gives its change of every weight, and the logged norm of the gradient."""

    def of(**options: Any) -> tuple[torch.Tensor, float]:
        module = make_module("SFT", optimizer=lambda parameters: SGD(parameters, lr=1.0))
        module.configure_model()
        before = {name: value.detach().clone() for name, value in module.named_parameters()}
        trainer = make_trainer(max_steps=1, **options)
        trainer.fit(module, datamodule=make_data("SFT"))
        changes = [(value.detach() - before[name]).flatten() for name, value in module.named_parameters()]
        return torch.cat(changes), read_metrics_of(trainer)["train/gradient_norm"]

    return of


@pytest.mark.parametrize("share", [0.01, 0.9])
def test_a_gradient_above_the_norm_is_scaled_to_it(change: Callable, share: float) -> None:
    whole, norm = change(gradient_clip_val=None)
    assert float(whole.norm()) == pytest.approx(norm, rel=1e-4)
    clipped, logged = change(gradient_clip_val=share * norm)
    assert logged == pytest.approx(norm, rel=1e-5)  # measured before
    torch.testing.assert_close(clipped, share * whole, rtol=1e-3, atol=1e-7)


def test_a_gradient_below_the_norm_is_left_alone(change: Callable) -> None:
    whole, norm = change(gradient_clip_val=None)
    assert torch.equal(change(gradient_clip_val=1.01 * norm)[0], whole)


def test_clipping_by_value_stays_lightnings(change: Callable) -> None:
    whole, _ = change(gradient_clip_val=None)
    most = float(whole.abs().max()) / 2
    clipped, _ = change(gradient_clip_val=most, gradient_clip_algorithm="value")
    torch.testing.assert_close(clipped, whole.clamp(-most, most), rtol=1e-3, atol=1e-7)
