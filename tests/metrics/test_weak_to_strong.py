"""Performance gap recovered."""

from dataclasses import asdict

import numpy as np
import pytest

from lit_align.metrics import performance_gap_interval, performance_gap_recovered


def test_the_ratio_keeps_its_three_numbers() -> None:
    gap = performance_gap_recovered(weak=0.378, student=0.879, ceiling=0.965)
    value = gap.value
    assert asdict(gap) == {"weak": 0.378, "student": 0.879, "ceiling": 0.965, "value": value}
    assert value == pytest.approx(0.853, abs=5e-4)


@pytest.mark.parametrize(("student", "value"), [(0.2, 0.0), (0.6, 1.0), (0.8, 1.5), (0.0, -0.5)])
def test_it_runs_from_the_teacher_to_the_ceiling_and_beyond(student: float, value: float) -> None:
    assert performance_gap_recovered(weak=0.2, student=student, ceiling=0.6).value == pytest.approx(value)


@pytest.mark.parametrize("ceiling", [0.5, 0.4])
def test_it_is_undefined_where_the_ceiling_is_not_above_the_teacher(ceiling: float) -> None:
    assert performance_gap_recovered(weak=0.5, student=0.6, ceiling=ceiling).value is None


def test_the_interval_holds_the_ratio_and_is_that_of_the_delta_method() -> None:
    rng = np.random.default_rng(0)
    weak, student, ceiling = (rng.random(2000) < share for share in (0.3, 0.6, 0.9))
    value = performance_gap_recovered(weak=weak.mean(), student=student.mean(), ceiling=ceiling.mean()).value
    interval = performance_gap_interval(weak=weak, student=student, ceiling=ceiling)
    assert value is not None
    assert interval is not None
    gradient = np.array([value - 1, 1, -value]) / (ceiling.mean() - weak.mean())
    error = 1.96 * (gradient @ np.cov([weak, student, ceiling]) @ gradient / 2000) ** 0.5
    assert interval == pytest.approx((value - error, value + error), abs=0.1 * error)
    assert performance_gap_interval(weak=weak, student=student, ceiling=ceiling) == interval


def test_a_gap_that_may_be_none_has_no_interval() -> None:
    assert performance_gap_interval(weak=[0, 1], student=[1, 1], ceiling=[1, 0]) is None
    with pytest.raises(ValueError, match="equally long"):
        performance_gap_interval(weak=[], student=[], ceiling=[])
