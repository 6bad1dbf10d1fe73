"""Pairwise accuracy: strict, counted, the same however the pairs are divided."""

import jaxtyping
import pytest
import torch

from lit_align.metrics import PairwiseAccuracy, pairwise_accuracy


def filled(chosen: list[float], rejected: list[float]) -> PairwiseAccuracy:
    metric = PairwiseAccuracy()
    metric.update(chosen=torch.tensor(chosen), rejected=torch.tensor(rejected))
    return metric


def test_ties_are_misses_and_are_counted() -> None:
    metric = filled([1.0, 2.0, 0.0, 5.0], [1.0, 1.0, 3.0, 4.0])
    assert metric.compute() == 0.5
    assert (metric.num_correct, metric.num_ties, metric.num_pairs) == (2, 1, 4)


def test_batches_and_ranks_are_summed_not_averaged() -> None:
    chosen, rejected = torch.randn(2, 101, generator=torch.Generator().manual_seed(0))
    ranks = [PairwiseAccuracy(), PairwiseAccuracy()]
    for i, (c, r) in enumerate(zip(chosen.split(7), rejected.split(7), strict=True)):
        ranks[i % 2].update(chosen=c, rejected=r)
    ranks[0].merge_state(ranks[1])
    assert ranks[0].num_pairs == 101
    assert ranks[0].compute() == pairwise_accuracy(chosen=chosen, rejected=rejected)


def test_a_non_finite_score_is_a_miss() -> None:
    assert filled([float("nan"), 1.0], [0.0, float("nan")]).compute() == 0.0


def test_no_pairs_give_nan_and_reset_forgets() -> None:
    metric = filled([1.0], [0.0])
    metric.reset()
    metric.update(chosen=torch.zeros(0), rejected=torch.zeros(0))
    assert metric.compute().isnan()
    assert pairwise_accuracy(chosen=torch.zeros(0), rejected=torch.zeros(0)).isnan()


def test_mismatched_shapes_raise() -> None:
    with pytest.raises(jaxtyping.TypeCheckError):
        PairwiseAccuracy().update(chosen=torch.zeros(2), rejected=torch.zeros(3))
