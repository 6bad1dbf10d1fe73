"""Measures of reward models, policies and loops. Those that need torch are imported on first use."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from lit_align.metrics.best_of_n import BestOfNCurve, RankingAccuracy, best_of_n_curve, ranking_accuracy
from lit_align.metrics.diversity import distinct_n
from lit_align.metrics.uncertainty import (
    MeanInterval,
    PairedDifference,
    mean_confidence_interval,
    paired_bootstrap,
    proportion_confidence_interval,
)
from lit_align.metrics.weak_to_strong import PerformanceGap, performance_gap_interval, performance_gap_recovered

if TYPE_CHECKING:
    from lit_align.metrics.attributes import AttributeErrors, attribute_errors
    from lit_align.metrics.pairwise import PairwiseAccuracy, pairwise_accuracy

__all__ = [
    "AttributeErrors",
    "BestOfNCurve",
    "MeanInterval",
    "PairedDifference",
    "PairwiseAccuracy",
    "PerformanceGap",
    "RankingAccuracy",
    "attribute_errors",
    "best_of_n_curve",
    "distinct_n",
    "mean_confidence_interval",
    "paired_bootstrap",
    "pairwise_accuracy",
    "performance_gap_interval",
    "performance_gap_recovered",
    "proportion_confidence_interval",
    "ranking_accuracy",
]

_NEEDS_TORCH = {
    "AttributeErrors": "attributes",
    "attribute_errors": "attributes",
    "PairwiseAccuracy": "pairwise",
    "pairwise_accuracy": "pairwise",
}


def __getattr__(name: str) -> Any:
    if name not in _NEEDS_TORCH:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_NEEDS_TORCH[name]}"), name)
