"""What is aimed at, and whether it was reached: computed, never written by hand."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from benchmarks.report.numbers import (
    Results,
    loss_difference,
    memory_ratio,
    ratio,
    utilisation,
    with_avx2,
)
from benchmarks.spec import TRAINING
from benchmarks.tasks.inference import FIRST, ONE_BY_ONE, PLAIN_8, PLAIN_64, SECOND, SHARED
from benchmarks.tasks.training import BARE, OURS, PADDED, TRL

_NAMES = {"sft": "SFT", "reward": "Reward model (Bradley-Terry)", "dpo": "DPO", "rpo": "RPO"}
_SPEED = {"dpo": (8.0, 2.5), "rpo": (8.0, 2.5), "reward": (4.0, 2.5), "sft": (7.0, 2.0)}


@dataclass(frozen=True, kw_only=True)
class Goal:
    """A number to reach.

    Attributes:
        text: What is measured.
        target: The number.
        at_least: Whether it is the least; otherwise it is the most.
        form: How it is written.
        value: Measures it; None where a system was not run.
    """

    text: str
    target: float
    form: str
    value: Callable[[Results], float | None]
    at_least: bool = True

    def reached(self, value: float) -> bool:
        """Whether a measured value is good enough."""
        return value >= self.target if self.at_least else value <= self.target


def goals() -> Iterator[Goal]:
    """All goals, in the order of the table."""
    for task, (peer, textbook) in _SPEED.items():
        name = _NAMES[task] + (" (TRL: its DPO)" if task == "rpo" else "")
        yield Goal(text=f"{name}: speed against TRL as released", target=peer, form="{:.1f}x", value=_speed(task, TRL))
        text = f"{_NAMES[task]}: speed against the padded loop"
        yield Goal(text=text, target=textbook, form="{:.2f}x", value=_speed(task, PADDED))
    yield Goal(
        text="DPO: peak memory, as a share of the padded loop's",
        target=0.5,
        form="{:.2f}",
        at_least=False,
        value=lambda results: memory_ratio(results, "dpo", OURS, PADDED),
    )
    for task in TRAINING:
        yield from _of_a_step(task)
    yield from _without_gradient()


def _of_a_step(task: str) -> Iterator[Goal]:
    yield Goal(
        text=f"{_NAMES[task]}: model FLOP utilisation of the matmul peak",
        target=0.55,
        form="{:.0%}",
        value=lambda results: utilisation(results, task, OURS, counted=BARE),
    )
    yield Goal(
        text=f"{_NAMES[task]}: the same without AVX-512",
        target=0.55,
        form="{:.0%}",
        value=lambda results: utilisation(with_avx2(results), task, OURS, counted=BARE),
    )
    yield Goal(
        text=f"{_NAMES[task]}: cost of framework, logging and data, over a bare step",
        target=0.05,
        form="{:.1%}",
        at_least=False,
        value=lambda results: _overhead(results, task),
    )
    yield Goal(
        text=f"{_NAMES[task]}: difference between losses, lit-align and padded loop",
        target=1e-5,
        form="{:.0e}",
        at_least=False,
        value=lambda results: loss_difference(results, task, OURS, PADDED),
    )


def _without_gradient() -> Iterator[Goal]:
    yield Goal(
        text="Scoring 8 responses a prompt: speed against rows one by one",
        target=2.0,
        form="{:.2f}x",
        value=lambda results: _middle(results, "scoring", ONE_BY_ONE, SHARED),
    )
    yield Goal(
        text="Generation, 8 samples a prompt: speed against `generate`, its better batch size, the worst setting",
        target=2.0,
        form="{:.2f}x",
        value=lambda results: min(generation_ratios(results), default=None),
    )
    yield Goal(
        text="Second start on the same rows: time, as a share of the first",
        target=0.05,
        form="{:.1%}",
        at_least=False,
        value=second_start,
    )


def generation_ratios(results: Results) -> list[float]:
    """By setting, tokens a second of lit-align over those of plain `generate` at its better batch size."""
    speeds = {name: generation_speeds(results, name) for name in (SHARED, PLAIN_8, PLAIN_64)}
    if not all(speeds.values()):
        return []
    return [ours / max(few, many) for ours, few, many in zip(*speeds.values(), strict=True)]


def generation_speeds(results: Results, name: str) -> list[float]:
    """By setting, the most tokens a CPU second."""
    task = results.get("generation")
    if task is None:
        return []
    number = len(task["settings"])
    # Every setting's first turn warms up.
    taken = [step["tokens"] / step["cpu_seconds"] for step in task["systems"][name]["steps"]]
    return [max(taken[setting + number :: number]) for setting in range(number)]


def second_start(results: Results) -> float | None:
    """Seconds of the second start over those of the first."""
    if "encoding" not in results:
        return None
    first, second = (results["encoding"]["systems"][name]["steps"][0]["seconds"] for name in (FIRST, SECOND))
    return second / first


def _speed(task: str, slow: str) -> Callable[[Results], float | None]:
    return lambda results: _middle(results, task, slow, OURS)


def _middle(results: Results, task: str, slow: str, fast: str) -> float | None:
    found = ratio(results, task, slow, fast)
    return None if found is None else found.middle


def _overhead(results: Results, task: str) -> float | None:
    found = _middle(results, task, OURS, BARE)
    return None if found is None else found - 1
