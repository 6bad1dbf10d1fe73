"""How cost grows: a bare packed step against a textbook one while one number changes."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from benchmarks import rows
from benchmarks.bench import Bench
from benchmarks.sizes import llama
from benchmarks.tasks.training import BARE, MATMUL, PADDED
from benchmarks.workers import System

_PAIRS = 4  # of a step; of K-way tasks, prompts


@dataclass(frozen=True, kw_only=True)
class Point:
    """Rows of one length, and a model.

    Attributes:
        value: Where it stands on the sweep's axis.
        prompt: Tokens of a prompt.
        response: Tokens of a response.
        num_responses: To each prompt; two make a DPO step, more a K-way RPO step.
        size: See `benchmarks.sizes.llama`; that of the run unless given.
        changed: Fields of its configuration.
    """

    value: float
    prompt: int = 104
    response: int = 48
    num_responses: int = 2
    size: str | None = None
    changed: dict[str, int] = field(default_factory=dict)


SWEEPS: dict[str, tuple[str, list[Point]]] = {
    "ratio": (
        "prompt length / response length",
        [Point(value=r, prompt=round(48 * r), response=48) for r in (0.5, 1, 2, 4, 8)],
    ),
    "responses": ("responses to a prompt", [Point(value=k, num_responses=k) for k in (2, 4, 8)]),
    "vocabulary": (
        "vocabulary",
        [Point(value=v, changed={"vocab_size": v}) for v in (32_000, 64_000, 128_000)],
    ),
    "length": (
        "tokens of prompt and response",
        [Point(value=n, prompt=n * 2 // 3, response=n - n * 2 // 3) for n in (128, 256, 512, 1024)],
    ),
    "model": ("model", [Point(value=0, size=size) for size in ("small", "22m", "60m")]),
}


def measure(bench: Bench) -> dict[str, Any]:
    """Every point of every sweep; of a quick run its ends."""
    curves = {
        name: {"axis": axis, "points": list(_points(bench, name, points))} for name, (axis, points) in SWEEPS.items()
    }
    return {"curves": curves}


def _points(bench: Bench, name: str, points: list[Point]) -> Iterator[dict[str, Any]]:
    for number, point in enumerate(points):
        if bench.options.quick and 0 < number < len(points) - 1:
            continue
        label = f"sweep {name} {number + 1} of {len(points)}"
        systems = _systems(bench, point, label=label)
        measured = bench.run(label, systems)
        parameters = measured[BARE]["facts"]["parameters"]
        yield {"value": point.value or parameters, "systems": measured}


def _systems(bench: Bench, point: Point, *, label: str) -> list[System]:
    repeats = 1 if bench.options.quick else 2
    task = "dpo" if point.num_responses == 2 else "k_way"
    sizes = {"prompt": point.prompt, "response": point.response}
    number = _PAIRS * (repeats + 1)
    if task == "dpo":
        content = rows.as_pairs(rows.fixed(number, **sizes))
    else:
        content = rows.scored(number, num_responses=point.num_responses, **sizes)
    config = llama(point.size or bench.options.model, **point.changed)
    weights = bench.weights(config, name=f"weights-{config['hidden_size']}-{config['vocab_size']}")
    common = {
        "rows": bench.file("sweep", content),
        "weights": weights,
        "task": task,
        "batch_size": _PAIRS,
        "max_length": 4096,
    }
    modules = {MATMUL: "matmul", BARE: "bare", PADDED: "padded"}
    return [
        System(
            name=name, module=f"benchmarks.systems.{module}", spec=bench.spec(label, name, **common), repeats=repeats
        )
        for name, module in modules.items()
    ]
