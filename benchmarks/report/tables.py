"""Results as Markdown tables, by the name of their place in the page."""

from collections.abc import Callable, Sequence
from statistics import median
from typing import Any

from benchmarks.report.goals import generation_ratios, generation_speeds, goals
from benchmarks.report.numbers import (
    Results,
    Spread,
    loss_difference,
    matmul_peaks,
    memory,
    ratio,
    rows_per_second,
    steps,
    system,
    utilisation,
    with_avx2,
)
from benchmarks.spec import TRAINING
from benchmarks.tasks.inference import FIRST, ONE_BY_ONE, PADDED, PLAIN_8, PLAIN_64, SECOND, SHARED
from benchmarks.tasks.training import BARE, BARE_CACHED, MATMUL, OURS, OURS_CACHED, TRL
from benchmarks.tasks.training import PADDED as LOOP

NOT_MEASURED = "Not measured in this run."


def machine(results: Results) -> str:
    """What it was measured on."""
    found = next(iter(results.values()), {}).get("machine")
    if found is None:
        return NOT_MEASURED
    peaks = [peak for task in TRAINING for peak in matmul_peaks(results, task)]
    peers = next((s["facts"]["versions"] for task in TRAINING if (s := system(results, task, TRL))), {})
    versions = {**found["versions"], **({"trl": peers["trl"]} if peers else {})}
    lines = [
        ("processor", f"{found['processor']}, {found['cores']} cores, {found['threads']} threads used"),
        ("memory", f"{found['memory'] / 2**30:.0f} GiB"),
        ("float32 matmul peak", _peak(peaks)),
        ("model, rows", f"{found['model']}, {found['rows']}{', a quick run' if found['quick'] else ''}"),
        ("versions", ", ".join(f"{name} {version}" for name, version in versions.items())),
        ("Python, system", f"{found['python']}, {found['system']}"),
        ("commit, date", f"{found['commit']}, {found['date']}"),
    ]
    return _table(("", ""), lines) + "\n\nAll numbers: [results.json](assets/performance/results.json)."


def _peak(peaks: list[float]) -> str:
    if not peaks:
        return "not measured"
    return f"{median(peaks) / 1e9:.0f} GFLOP/s, {min(peaks) / 1e9:.0f} to {max(peaks) / 1e9:.0f} over the rounds"


def goal_table(results: Results) -> str:
    """Every goal, what was measured, and whether that is enough."""
    lines = []
    for goal in goals():
        value = goal.value(results)
        bound = f"{'≥' if goal.at_least else '≤'} {goal.form.format(goal.target)}"
        verdict = "not measured" if value is None else "met" if goal.reached(value) else "**not met**"
        lines.append((goal.text, bound, "" if value is None else goal.form.format(value), verdict))
    return _table(("", "goal", "measured", ""), lines)


def training(task: str) -> Callable[[Results], str]:
    """The table of a training task."""
    return lambda results: _training(results, task) if task in results else NOT_MEASURED


def _training(results: Results, task: str) -> str:
    names = [name for name in results[task]["systems"] if name != MATMUL]
    head = (
        "",
        "rows/s (quartiles)",
        "lit-align is",
        "CPU time a step",
        "peak memory",
        "imports alone",
        "MFU",
        "loss differs by",
    )
    return _table(head, [_training_line(results, task, name) for name in names])


def _training_line(results: Results, task: str, name: str) -> tuple[str, ...]:
    measured = results[task]["systems"][name]
    counted = BARE_CACHED if name in (OURS_CACHED, BARE_CACHED) else BARE
    share = utilisation(results, task, name, counted=counted) if "TRL" not in name else None
    against = ratio(results, task, name, OURS)
    first = "TRL" in name
    difference = loss_difference(results, task, name, LOOP, first=first) if name != LOOP else None
    return (
        f"{name} (DPO)" if task == "rpo" and first else name,
        _spread(rows_per_second(results, task, name)),
        "" if name == OURS or against is None else f"{against.middle:.2f}x as fast",
        f"{Spread.of(steps(measured, 'cpu_seconds')).middle:.2f} s",
        _gigabytes(memory(results, task, name)),
        _gigabytes(measured["imported"]),
        "" if share is None else f"{share:.0%}",
        "" if difference is None or (task == "rpo" and first) else f"{difference:.0e}",
    )


def avx2(results: Results) -> str:
    """Steps without AVX-512."""
    found = with_avx2(results)
    lines = [
        (
            task,
            _peak(matmul_peaks(found, task)),
            _spread(rows_per_second(found, task, OURS)),
            *(f"{utilisation(found, task, name, counted=BARE):.0%}" for name in (OURS, BARE)),
        )
        for task in found
    ]
    head = ("", "float32 matmul peak", "rows/s (quartiles)", "MFU", "MFU, bare step")
    return _table(head, lines) if lines else NOT_MEASURED


def operations(results: Results) -> str:
    """What a step needs and what was executed, in the round that warms up."""
    lines = []
    for task in TRAINING:
        bare, loop = system(results, task, BARE), system(results, task, LOOP)
        if bare is None or loop is None:
            continue
        needed, executed, padded = bare["steps"][0]["flops"], bare["steps"][0]["executed"], loop["steps"][0]["executed"]
        lines.append(
            (task, _giga(needed), _giga(executed - needed), _giga(executed), _giga(padded), f"{padded / needed:.1f}x")
        )
    head = ("", "needed", "on top", "executed", "executed by the padded loop", "of what is needed")
    return _table(head, lines) if lines else NOT_MEASURED


def scoring(results: Results) -> str:
    """Responses a second by each way of scoring."""
    if "scoring" not in results:
        return NOT_MEASURED
    lines = []
    for name in (SHARED, ONE_BY_ONE, PADDED):
        measured = results["scoring"]["systems"][name]
        number = results["scoring"]["systems"][SHARED]["facts"]["responses"]
        against = ratio(results, "scoring", name, SHARED)
        difference = loss_difference(results, "scoring", name, ONE_BY_ONE)
        lines.append(
            (
                name,
                _spread(Spread.of([number / seconds for seconds in steps(measured)])),
                "" if name == SHARED or against is None else f"{against.middle:.2f}x as fast",
                _gigabytes(memory(results, "scoring", name)),
                f"{difference:.0e}",
            )
        )
    return _table(("", "responses/s (quartiles)", "lit-align is", "peak memory", "mean reward differs by"), lines)


def generation(results: Results) -> str:
    """Tokens a CPU second by setting."""
    if "generation" not in results:
        return NOT_MEASURED
    speeds = [generation_speeds(results, name) for name in (PLAIN_8, PLAIN_64, SHARED)]
    settings = results["generation"]["settings"]
    lines = [
        (f"{s['prompt_tokens']} tokens", str(s["new_tokens"]), *(f"{speed:.0f}" for speed in found), f"{better:.2f}x")
        for s, *found, better in zip(settings, *speeds, generation_ratios(results), strict=True)
    ]
    return _table(("prompt", "at most", "`generate`, 8 prompts", "`generate`, 64 prompts", "lit-align", "ratio"), lines)


def encoding(results: Results) -> str:
    """The first start and the second."""
    if "encoding" not in results:
        return NOT_MEASURED
    lines = []
    for name in (FIRST, SECOND):
        step = results["encoding"]["systems"][name]["steps"][0]
        speed = f"{step['rows'] / step['seconds']:,.0f}"
        lines.append((name, f"{step['rows']:,.0f}", f"{step['seconds']:.2f} s", speed, _gigabytes(step["memory"])))
    return _table(("", "rows", "until the first batch", "rows/s", "peak memory"), lines)


def sweep(name: str) -> Callable[[Results], str]:
    """The table of a sweep."""

    def table(results: Results) -> str:
        curve = results.get("sweeps", {}).get("curves", {}).get(name)
        return NOT_MEASURED if curve is None else _sweep(curve)

    return table


def _sweep(found: dict[str, Any]) -> str:
    lines = []
    for point in found["points"]:
        inner = {"point": point}
        times = [Spread.of(steps(point["systems"][system])).middle for system in (BARE, LOOP)]
        peaks = [memory(inner, "point", system) for system in (BARE, LOOP)]
        share = utilisation(inner, "point", BARE, counted=BARE)
        cells = [f"{value:.2f} s" for value in times] + [f"{times[1] / times[0]:.2f}x"] + [_gigabytes(p) for p in peaks]
        lines.append((f"{point['value']:,.10g}", *cells, "" if share is None else f"{share:.0%}"))
    head = (found["axis"], "packed", "padded", "ratio", "packed, memory", "padded, memory", "packed, MFU")
    return _table(head, lines)


def _table(head: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    rule = "|".join(["---"] * len(head))
    return "\n".join([f"| {' | '.join(head)} |", f"|{rule}|", *(f"| {' | '.join(line)} |" for line in lines)])


def _spread(spread: Spread) -> str:
    return f"{spread.middle:.2f} ({spread.low:.2f} to {spread.high:.2f})"


def _gigabytes(number: float | None) -> str:
    return "" if number is None else f"{number / 1e9:.2f} GB"


def _giga(number: float) -> str:
    return f"{number / 1e9:.0f} GFLOP"
