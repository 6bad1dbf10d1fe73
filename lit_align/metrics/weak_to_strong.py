"""How much of the distance between a weak teacher and its strong student's ceiling the student covers."""

from dataclasses import dataclass


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
