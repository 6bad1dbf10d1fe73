"""From steps to medians, spreads and ratios; round 0 warmed up and does not count."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median, quantiles
from typing import Any

Results = dict[str, Any]
"""By task: its systems by name (`Measured` as JSON), and what the task says of itself."""


@dataclass(frozen=True, kw_only=True)
class Spread:
    """A median and the quartiles around it."""

    middle: float
    low: float
    high: float

    @staticmethod
    def of(values: Sequence[float]) -> "Spread":
        """Of some values.

        >>> Spread.of([3.0, 1.0, 2.0])
        Spread(middle=2.0, low=1.5, high=2.5)
        """
        if len(values) == 1:
            return Spread(middle=values[0], low=values[0], high=values[0])
        low, middle, high = quantiles(values, n=4, method="inclusive")
        return Spread(middle=middle, low=low, high=high)


def system(results: Results, task: str, name: str) -> dict[str, Any] | None:
    """What a system did; None where it was not measured."""
    return results.get(task, {}).get("systems", {}).get(name)


def steps(measured: dict[str, Any], value: str = "seconds") -> list[float]:
    """A value of every step that counts."""
    return [step[value] for step in measured["steps"][1:]]


def ratio(results: Results, task: str, slow: str, fast: str) -> Spread | None:
    """How many times longer `slow` takes than `fast`, on the same rows in the same round."""
    one, other = system(results, task, slow), system(results, task, fast)
    if one is None or other is None:
        return None
    return Spread.of([a / b for a, b in zip(steps(one), steps(other), strict=False)])


def rows_per_second(results: Results, task: str, name: str) -> Spread:
    """Rows, or pairs, a second."""
    size = results[task]["batch_size"]
    return Spread.of([size / seconds for seconds in steps(results[task]["systems"][name])])


def memory(results: Results, task: str, name: str) -> float | None:
    """The most bytes that were resident."""
    measured = system(results, task, name)
    return None if measured is None else max(step["memory"] for step in measured["steps"])


def memory_ratio(results: Results, task: str, one: str, other: str) -> float | None:
    """Peak memory of a system as a share of another's."""
    first, second = memory(results, task, one), memory(results, task, other)
    return None if first is None or second is None else first / second


def matmul_peaks(results: Results, task: str) -> list[float]:
    """The fastest matrix product of every round that counts, in operations a second."""
    measured = system(results, task, "matmul")
    return [] if measured is None else steps(measured, "flops_per_second")


def utilisation(results: Results, task: str, name: str, *, counted: str) -> float | None:
    """Operations needed, by the system `counted`, a second of another's time, as a share of the matrix product's.

    Each step is held against the matrix product of its own round: a virtual machine is not equally fast all the time.
    """
    measured, counter, peaks = system(results, task, name), system(results, task, counted), matmul_peaks(results, task)
    if measured is None or counter is None or not peaks:
        return None
    rounds = zip(steps(counter, "flops"), steps(measured), peaks, strict=False)
    return median(flops / seconds / peak for flops, seconds, peak in rounds)


def with_avx2(results: Results) -> Results:
    """The training tasks as they were measured without AVX-512."""
    return results.get("avx2", {}).get("tasks", {})


def loss_difference(results: Results, task: str, one: str, other: str, *, first: bool = False) -> float | None:
    """The largest difference between losses of the same rows; of the first step alone where weights may part."""
    measured = [system(results, task, name) for name in (one, other)]
    if None in measured:
        return None
    pairs = list(zip(*([step["loss"] for step in found["steps"]] for found in measured if found), strict=False))
    return max(abs(a - b) for a, b in (pairs[:1] if first else pairs))
