"""Errors of predicted attribute ratings, attribute by attribute."""

from collections.abc import Sequence
from typing import final

import torch
from jaxtyping import Float
from torch import Tensor
from torchmetrics import Metric

_NUM_SUMS = 8


def attribute_errors(
    predictions: Float[Tensor, "response attribute"],
    *,
    ratings: Float[Tensor, "response attribute"],
    attributes: Sequence[str],
) -> dict[str, Tensor]:
    """Errors of each attribute over the responses that have a rating of it (NaN = missing).

    For an attribute `a` the result holds, in rating units: `a_mse`, `a_mae`, `a_pearson` (NaN where predictions or
    ratings are constant), `a_num_present`, and `a_prediction_mean` and `a_prediction_std` (of the rated responses;
    population form). An attribute without any rating gets NaN and a count of 0, so the keys are always the same.

    >>> errors = attribute_errors(torch.tensor([[1.0], [3.0]]), ratings=torch.tensor([[2.0], [2.0]]), attributes=["a"])
    >>> errors["a_mse"].item(), errors["a_num_present"].item()
    (1.0, 2.0)
    """
    return _errors(_sums(predictions, ratings, _widest_float()), attributes)


@final
class AttributeErrors(Metric):
    """:func:`attribute_errors` over batches and ranks, from sums that do not depend on how rows were divided.

    Args:
        attributes: Names of the columns.
    """

    is_differentiable = False
    higher_is_better = None
    full_state_update = False

    sums: Tensor

    def __init__(self, attributes: Sequence[str]) -> None:
        super().__init__()
        self.attributes = tuple(attributes)
        zeros = torch.zeros(_NUM_SUMS, len(self.attributes), dtype=_widest_float())
        self.add_state("sums", default=zeros, dist_reduce_fx="sum")

    def update(
        self, predictions: Float[Tensor, "response attribute"], *, ratings: Float[Tensor, "response attribute"]
    ) -> None:
        """Adds responses; a NaN rating is left out."""
        self.sums += _sums(predictions, ratings, self.sums.dtype)

    def compute(self) -> dict[str, Tensor]:
        """The errors so far, by `<attribute>_<statistic>`."""
        return _errors(self.sums, self.attributes)


def _widest_float() -> torch.dtype:
    # Variances come from differences of sums, which float32 blurs; Apple's MPS has nothing wider.
    return torch.float32 if torch.backends.mps.is_available() else torch.float64


def _sums(
    predictions: Float[Tensor, "response attribute"],
    ratings: Float[Tensor, "response attribute"],
    dtype: torch.dtype,
) -> Float[Tensor, "sum attribute"]:
    present = ~ratings.isnan()
    prediction = torch.where(present, predictions.detach(), 0.0).to(dtype)
    rating = torch.where(present, ratings, 0.0).to(dtype)
    error = prediction - rating
    rows = [present, error**2, error.abs(), prediction, rating, prediction**2, rating**2, prediction * rating]
    return torch.stack([row.to(dtype).sum(dim=0) for row in rows])


def _errors(sums: Float[Tensor, "sum attribute"], attributes: Sequence[str]) -> dict[str, Tensor]:
    count = sums[0]
    mse, mae, prediction, rating, prediction_square, rating_square, product = sums[1:] / count
    prediction_variance = _variance(prediction_square, prediction)
    scale = (prediction_variance * _variance(rating_square, rating)).sqrt()
    covariance = product - prediction * rating
    columns = {
        "mse": mse,
        "mae": mae,
        "pearson": torch.where(scale > 0, (covariance / scale).clamp(-1, 1), torch.nan),
        "num_present": count,
        "prediction_mean": prediction,
        "prediction_std": prediction_variance.sqrt(),
    }
    return {f"{name}_{key}": column[i] for i, name in enumerate(attributes) for key, column in columns.items()}


def _variance(mean_of_squares: Tensor, mean: Tensor) -> Tensor:
    """Population variance; exactly 0 where the difference is within rounding of the terms it is made of."""
    variance = mean_of_squares - mean**2
    rounding = 4096 * torch.finfo(mean.dtype).eps * mean_of_squares
    return torch.where(variance <= rounding, 0.0 * variance, variance)
