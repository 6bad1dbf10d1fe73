"""The norm of a gradient."""

import math

import pytest
import torch
from torch import nn

from lit_align.modules.gradients import gradient_norm


def _norm(*gradients: torch.Tensor) -> float:
    parameters = [nn.Parameter(torch.empty_like(gradient)) for gradient in gradients]
    for parameter, gradient in zip(parameters, gradients, strict=True):
        parameter.grad = gradient
    return float(gradient_norm(parameters))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_the_norm_is_that_of_all_gradients_in_float64(dtype: torch.dtype) -> None:
    draw = torch.Generator().manual_seed(0)
    gradients = [torch.randn(shape, generator=draw).to(dtype) for shape in ((5, 3), (7,), ())]
    exact = math.sqrt(sum(float(gradient.double().square().sum()) for gradient in gradients))
    tolerance = {torch.bfloat16: 1e-2, torch.float32: 1e-6, torch.float64: 1e-12}[dtype]
    assert _norm(*gradients) == pytest.approx(exact, rel=tolerance)


def test_the_norm_of_a_large_embedding_has_four_digits() -> None:
    gradient = torch.randn(32_000, 256, generator=torch.Generator().manual_seed(0))
    assert _norm(gradient) == pytest.approx(float(gradient.double().norm()), rel=1e-4)


def test_a_gradient_that_is_not_contiguous_counts_as_it_is() -> None:
    gradient = torch.arange(6.0).reshape(2, 3).T
    assert _norm(gradient) == pytest.approx(math.sqrt(55))


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_what_is_not_finite_shows(value: float) -> None:
    assert not math.isfinite(_norm(torch.ones(3), torch.tensor([1.0, value])))


def test_without_gradients_the_norm_is_zero() -> None:
    assert float(gradient_norm(nn.Linear(2, 2).parameters())) == 0
