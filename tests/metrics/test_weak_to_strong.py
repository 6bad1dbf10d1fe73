"""Performance gap recovered."""

from dataclasses import asdict

import pytest

from lit_align.metrics import performance_gap_recovered


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
