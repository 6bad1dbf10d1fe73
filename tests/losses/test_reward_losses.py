"""Regression on ratings that may be missing, and the weighted reward."""

import jaxtyping
import pytest
import torch
from torch import Tensor

from lit_align.losses import HELPSTEER_ATTRIBUTES, REWARD_WEIGHTS, present, regression_loss, weighted_reward

NAN = torch.nan


@pytest.fixture
def ratings() -> Tensor:
    return torch.tensor([[4.0, NAN, 1.0], [NAN, NAN, NAN], [0.0, 2.0, NAN]], dtype=torch.float64)


@pytest.fixture
def predictions() -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(3, 3, dtype=torch.float64, generator=generator).requires_grad_()


def test_regression_is_the_squared_error_of_given_ratings(predictions: Tensor, ratings: Tensor) -> None:
    loss = regression_loss(predictions, ratings=ratings)
    given = present(ratings)
    torch.testing.assert_close(loss[given], (predictions - ratings)[given] ** 2, rtol=0, atol=0)


def test_a_missing_rating_gives_zero_loss_and_zero_gradient(predictions: Tensor, ratings: Tensor) -> None:
    loss = regression_loss(predictions, ratings=ratings)
    loss.sum().backward()
    missing = ~present(ratings)
    assert predictions.grad is not None
    assert (loss[missing] == 0).all()
    assert (predictions.grad[missing] == 0).all()
    assert (predictions.grad[~missing] != 0).all()


def test_masked_equals_removed(predictions: Tensor, ratings: Tensor) -> None:
    rated = [0, 2]
    whole = regression_loss(predictions, ratings=ratings).sum()
    rows = regression_loss(predictions[rated], ratings=ratings[rated]).sum()
    torch.testing.assert_close(whole, rows, rtol=0, atol=0)


def test_a_batch_without_ratings_is_finite_and_on_the_graph(predictions: Tensor) -> None:
    ratings = torch.full((3, 3), NAN, dtype=torch.float64)
    loss = regression_loss(predictions, ratings=ratings).sum()
    loss.backward()
    assert loss == 0
    assert present(ratings).sum() == 0


def test_even_an_infinite_prediction_does_not_reach_past_a_missing_rating() -> None:
    predictions = torch.tensor([[torch.inf, 1e4]], requires_grad=True)
    loss = regression_loss(predictions, ratings=torch.tensor([[NAN, -1e4]]))
    loss.sum().backward()
    assert predictions.grad is not None
    assert loss.tolist() == [[0.0, 4e8]]
    assert predictions.grad.tolist() == [[0.0, 4e4]]


def test_gradient_is_right(predictions: Tensor, ratings: Tensor) -> None:
    assert torch.autograd.gradcheck(lambda p: regression_loss(p, ratings=ratings), predictions)


def test_half_precision_predictions_are_compared_in_float32() -> None:
    loss = regression_loss(torch.tensor([[3.0]]).bfloat16(), ratings=torch.tensor([[2.99]]))
    assert loss.dtype == torch.float32
    torch.testing.assert_close(loss, torch.tensor([[1e-4]]), rtol=1e-3, atol=0)


def test_weighted_reward_is_the_dot_product_with_the_weights(predictions: Tensor) -> None:
    weights = torch.tensor([1.0, -2.0, 0.5], dtype=torch.float64)
    torch.testing.assert_close(weighted_reward(predictions, weights=weights), predictions @ weights)


def test_weights_are_named_in_the_attributes_order() -> None:
    for weights in REWARD_WEIGHTS.values():
        assert tuple(weights) == HELPSTEER_ATTRIBUTES
    assert REWARD_WEIGHTS["nemotron4_340b_reward"]["verbosity"] == -0.33


def test_mismatched_shapes_raise() -> None:
    with pytest.raises(jaxtyping.TypeCheckError):
        regression_loss(torch.zeros(2, 5), ratings=torch.zeros(2, 4))
    with pytest.raises(jaxtyping.TypeCheckError):
        weighted_reward(torch.zeros(2, 5), weights=torch.zeros(4))
