"""Training tasks: lit-align, its bare step, the textbook loop and TRL, in turn on the same rows."""

from collections.abc import Iterator
from statistics import fmean
from typing import Any

from benchmarks import machine, peers, rows
from benchmarks.bench import Bench
from benchmarks.spec import TRAINING
from benchmarks.workers import System

OURS, BARE, OURS_COMPILED = "lit-align", "bare step", "lit-align compiled"
OURS_CACHED, BARE_CACHED = "lit-align cached", "bare step cached"
PADDED, TRL, TRL_TUNED, TRL_CACHED, MATMUL = "padded loop", "TRL", "TRL tuned", "TRL tuned cached", "matmul"

_MORE = 3
# Held to AVX2: MKL, which multiplies; torch's own kernels; oneDNN.
_AVX2 = {"MKL_ENABLE_INSTRUCTIONS": "AVX2", "ATEN_CPU_CAPABILITY": "avx2", "ONEDNN_MAX_CPU_ISA": "AVX2"}


def measure(bench: Bench, task: str) -> dict[str, Any]:
    """Steps of all systems of a task, and what their rows are like."""
    common = _material(bench, task)
    systems = [
        System(name=name, spec=bench.spec(task, name, **common, options=options), **how)
        for name, options, how in _lineup(bench, task)
    ]
    return {"systems": bench.run(task, systems), "tokens": _tokens(bench), "batch_size": bench.options.batch_size}


def measure_avx2(bench: Bench) -> dict[str, Any]:
    """Steps of every training task as a processor without AVX-512 makes them; no tasks where this one has none."""
    if not machine.has_avx512():
        return {"tasks": {}}
    tasks = {}
    for task in TRAINING:
        label, common = f"avx2 {task}", _material(bench, task)
        systems = [
            System(
                name=name,
                module=f"benchmarks.systems.{module}",
                spec=bench.spec(label, name, task=task, **common),
                repeats=bench.options.repeats,
                variables=_AVX2,
            )
            for name, module in ((MATMUL, "matmul"), (OURS, "trainer"), (BARE, "bare"))
        ]
        tasks[task] = {"systems": bench.run(label, systems), "batch_size": bench.options.batch_size}
    return {"tasks": tasks}


def _material(bench: Bench, task: str) -> dict[str, Any]:
    content = rows.as_demonstrations(bench.pairs) if task == "sft" else rows.as_pairs(bench.pairs)
    return {"rows": bench.file("sft" if task == "sft" else "pairs", content), "weights": bench.weights()}


def _lineup(bench: Bench, task: str) -> Iterator[tuple[str, dict[str, Any], dict[str, Any]]]:
    """Name and options of every system, and how it runs."""
    trainer, bare, padded, matmul = (
        {"module": f"benchmarks.systems.{module}", "repeats": bench.options.repeats}
        for module in ("trainer", "bare", "padded", "matmul")
    )
    cached = {"reference_logprobs": "cached"}
    # What a framework costs is a few hundredths of a step: these take part in more rounds than the others.
    for name, how in ((MATMUL, matmul), (OURS, trainer), (BARE, bare)):
        yield name, {}, {**how, "repeats": _MORE * bench.options.repeats}
    if task in ("sft", "dpo"):
        yield OURS_COMPILED, {"compile_layers": True}, trainer
    if task == "dpo":
        yield OURS_CACHED, cached, trainer
        yield BARE_CACHED, cached, bare
    yield PADDED, {}, padded
    if bench.options.peers:
        peer = {
            "module": "benchmarks.systems.trl",
            "repeats": bench.options.peer_repeats,
            "python": peers.interpreter(),
        }
        yield TRL, peers.RELEASED, peer
        yield TRL_TUNED, peers.TUNED, peer
        if task == "dpo":
            yield TRL_CACHED, peers.TUNED_CACHED, peer


def _tokens(bench: Bench) -> dict[str, float]:
    """Tokens on average, terminators included."""
    ends = {"prompt": 0, "chosen": 1, "rejected": 1}
    return {name: fmean(bench.count(getattr(p, name)) + end for p in bench.pairs) for name, end in ends.items()}
