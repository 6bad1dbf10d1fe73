"""How much of the distance between a weak teacher and its strong student's ceiling the student covers."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike


@dataclass(frozen=True, kw_only=True)
class PerformanceGap:
    """Performance gap recovered, with the three numbers it is made of.

    Attributes:
        weak: Performance of the weak teacher.
        student: Performance of the strong model trained on the teacher's data.
        ceiling: Performance of the strong model trained on ground truth.
        value: The share of the gap that was recovered; None where the ceiling is not above the teacher.
    """

    weak: float
    student: float
    ceiling: float
    value: float | None


def performance_gap_recovered(*, weak: float, student: float, ceiling: float) -> PerformanceGap:
    """`(student - weak) / (ceiling - weak)`, arXiv:2312.09390, section 3.

    It is negative where the student falls behind its teacher and over 1 where it passes its ceiling. The ratio
    alone hides a small gap, so its three numbers stay with it.

    >>> performance_gap_recovered(weak=0.25, student=0.625, ceiling=0.75).value
    0.75
    """
    gap = ceiling - weak
    value = (student - weak) / gap if gap > 0 else None
    return PerformanceGap(weak=weak, student=student, ceiling=ceiling, value=value)


def performance_gap_interval(
    *, weak: ArrayLike, student: ArrayLike, ceiling: ArrayLike, num_resamples: int = 2000, seed: int = 0
) -> tuple[float, float] | None:
    """95 % percentile bootstrap of the gap recovered, from three systems measured on the same rows in the same order.

    None where the ceiling is not above the teacher in every resample: the ratio then has no bounded interval.

    >>> performance_gap_interval(weak=[0, 0], student=[1, 1], ceiling=[1, 1])
    (1.0, 1.0)
    """
    scores = np.asarray([weak, student, ceiling], dtype=np.float64)
    if scores.ndim != 2 or scores.shape[1] == 0 or not np.isfinite(scores).all():
        raise ValueError(f"weak, student and ceiling must be equally long rows of numbers, got shape {scores.shape}")
    rng = np.random.default_rng(seed)
    picks = (rng.integers(scores.shape[1], size=scores.shape[1]) for _ in range(num_resamples))
    low_end, reached, high_end = np.array([scores[:, pick].mean(axis=1) for pick in picks]).T
    gap = high_end - low_end
    if (gap <= 0).any():
        return None
    low, high = np.quantile((reached - low_end) / gap, [0.025, 0.975])
    return float(low), float(high)
