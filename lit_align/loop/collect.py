"""Parts of a report that finished stages tell by themselves: lineage, training curves, gates, data, versions, times."""

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from lit_align.loop.manifest import RUNNER_FILES, SPEC
from lit_align.loop.plan import label
from lit_align.loop.results import Column, GateVerdict, LinePlot, Metric, Origin, Table
from lit_align.loop.runner import RECIPE, Runner
from lit_align.loop.store import building_folder
from lit_align.loop.training_curves import training_plots
from lit_align.tracking.metrics_file import METRICS_FILE

Built = tuple[Path, Mapping[str, Any]]
"""A finished stage: its folder and its manifest."""

VERDICT = "verdict.json"
_WEIGHTS = ".safetensors"
_ROWS = (".jsonl", ".jsonl.gz", ".parquet")
_GATE = "MetricGate"
_CHAMPION = "Champion"
_PAIR = "Pair"
_OF_PAIRS = {
    "prompts": "read",
    "pairs": "kept",
    "margin": "mean_margin",
    "longer": "chosen_longer",
    "cut_off": "cut_off",
}
_CONFIG = re.compile(r"^(rows|models)\.(?=.*\.init_args\.)")


def built_stages(runner: Runner) -> list[Built]:
    """The stages of a program that are finished, in the program's order and under its titles.

    The order does not depend on which stage happened to finish first, so what is made of it is the same in every run.
    """
    done = [node for node in runner.nodes if runner.store.status(node.artifact).is_cached]
    named = ((node, {"title": node.title, "iteration": node.iteration}) for node in done)
    return [(node.artifact.path, {**runner.manifest(node.artifact), **names}) for node, names in named]


def origins(built: Iterable[Built]) -> tuple[Origin, ...]:
    """Every artifact and every input from outside."""
    found: dict[str, Origin] = {}
    for _, manifest in built:
        for entry in manifest["inputs"]:
            if entry.get("store") is None:
                found.setdefault(
                    entry["fingerprint"], Origin(title=entry["title"], kind="input", fingerprint=entry["fingerprint"])
                )
        origin = Origin(
            title=manifest["title"],
            kind=_kind(manifest),
            fingerprint=manifest["fingerprint"],
            parents={_role(entry["field"]): _followed(entry) for entry in manifest["inputs"]},
            iteration=manifest["iteration"],
        )
        found.setdefault(manifest["fingerprint"], origin)
    return tuple(found.values())


def training(built: Iterable[Built], *, names: Sequence[str] = ()) -> tuple[LinePlot, ...]:
    """The training curves of every stage that has a `metrics.jsonl`.

    Args:
        built: The stages.
        names: Metrics to show, without `train/`; default: all.
    """
    return tuple(
        plot
        for folder, manifest in built
        if METRICS_FILE in manifest["files"]
        for plot in training_plots(folder / METRICS_FILE, title=stage_title(manifest), names=names)
    )


def verdicts(built: Iterable[Built]) -> tuple[GateVerdict, ...]:
    """The gates that let something through, and the champions that were chosen."""
    return tuple(verdict for _, manifest in built if (verdict := _verdict(manifest)) is not None)


def stopped_gates(runner: Runner) -> tuple[GateVerdict, ...]:
    """The gates of a program at which it was stopped; they have no manifest."""
    files = (building_folder(node.artifact) / VERDICT for node in runner.nodes)
    return tuple(stopped_verdict(file) for file in files if file.is_file())


def stopped_verdict(file: Path) -> GateVerdict:
    """The verdict that a gate left when it stopped a loop."""
    verdict, spec = (json.loads(path.read_text(encoding="utf-8")) for path in (file, file.with_name(SPEC)))
    limits = spec["stage"]["fields"]
    return GateVerdict(
        title=spec["title"],
        iteration=spec["iteration"],
        passed=False,
        measured="; ".join(verdict["failures"]),
        required=_limits(limits["minimum"], limits["maximum"]),
        meaning=verdict["meaning"],
    )


def ledger(built: Iterable[Built]) -> Table:
    """How many rows every stage that counts them read, kept, and dropped for which reasons."""
    columns = (
        Column(key="stage", title="Stage", percent=False),
        Column(key="read", title="Read", percent=False),
        Column(key="kept", title="Kept", percent=False),
        Column(key="dropped", title="Dropped", percent=False),
    )
    rows = [
        {
            "stage": stage_title(manifest),
            "read": Metric(value=results["read"]),
            "kept": Metric(value=results["kept"]),
            "dropped": _reasons(results["dropped"]),
        }
        for _, manifest in built
        if {"read", "kept", "dropped"} <= (results := manifest["results"]).keys()
    ]
    return Table(title="Data", meaning="read = kept + dropped, in every stage.", columns=columns, rows=tuple(rows))


def pairs(built: Iterable[Built]) -> Table:
    """What the preferences of every round are like; a share of longer chosen responses far from half is a warning."""
    columns = (
        Column(key="stage", title="Pairs", percent=False),
        Column(key="prompts", title="Prompts", percent=False),
        Column(key="pairs", title="Pairs kept", percent=False),
        Column(key="margin", title="Mean margin", percent=False),
        Column(key="longer", title="Chosen is longer"),
        Column(key="cut_off", title="Responses cut off", percent=False),
    )
    rows = [
        {"stage": stage_title(manifest)}
        | {key: Metric(value=results[name]) for key, name in _OF_PAIRS.items() if name in results}
        for _, manifest in built
        if stage_class(manifest) == _PAIR
        for results in [manifest["results"]]
    ]
    meaning = "Margins are in the reward model's units; of a right response over a wrong one they are 1."
    return Table(title="Preferences", meaning=meaning, columns=columns, rows=tuple(rows))


def versions(built: Iterable[Built]) -> dict[str, str]:
    """Versions of the code that built the stages; several where a run was continued with another one."""
    found: dict[str, dict[str, None]] = {}
    for _, manifest in built:
        for name, value in manifest["code"].items():
            found.setdefault(name, {})[str(value)] = None
    return {name: ", ".join(values) for name, values in found.items()}


def recipe(runner: Runner) -> dict[str, Any]:
    """The recipe that is run, with all defaults; empty for a program that was not started from one."""
    file = runner.workdir / RECIPE
    return yaml.safe_load(file.read_text(encoding="utf-8")) if file.is_file() else {}


def timings(built: Iterable[Built]) -> dict[str, Any]:
    """Wall seconds of every stage, whenever it was built, and their sum."""
    stages = [
        {"title": manifest["title"], "iteration": manifest["iteration"], **manifest["timings"]} for _, manifest in built
    ]
    return {"seconds": round(sum(stage["seconds"] for stage in stages), 3), "stages": stages}


def stage_title(manifest: Mapping[str, Any]) -> str:
    """A stage's title with its iteration."""
    return label(manifest["title"], manifest["iteration"])


def stage_class(manifest: Mapping[str, Any]) -> str:
    """The name of a stage's class."""
    return str(manifest["stage"]).rpartition(".")[2]


def _kind(manifest: Mapping[str, Any]) -> str:
    names = [name for name in manifest["files"] if name not in RUNNER_FILES]
    if any(name.endswith(_WEIGHTS) for name in names):
        return "model"
    if any(name.endswith(_ROWS) for name in names):
        return "data"
    return "gate" if stage_class(manifest) in (_GATE, _CHAMPION) else "numbers"


def _followed(entry: Mapping[str, Any]) -> str:
    """The fingerprint of an input, gates and champions followed."""
    return entry["chosen"]["fingerprint"] if "chosen" in entry else entry["fingerprint"]


def _role(field: str) -> str:
    """What an input is to a stage, for people.

    >>> _role("rows.data.init_args.train.artifact"), _role("samples.0.artifact")
    ('data.train', 'samples.0')
    """
    return _CONFIG.sub("", field).replace(".init_args.", ".").removesuffix(".artifact")


def _verdict(manifest: Mapping[str, Any]) -> GateVerdict | None:
    results, config = manifest["results"], manifest["config"]
    common = {"title": manifest["title"], "iteration": manifest["iteration"], "passed": True}
    if stage_class(manifest) == _GATE:
        limits = _limits(config["minimum"], config["maximum"])
        measured = ", ".join(f"{name} {value:.4g}" for name, value in results["measured"].items())
        return GateVerdict(**common, measured=measured, required=limits, meaning=config["meaning"])
    if stage_class(manifest) == _CHAMPION:
        # The gate's own iteration goes without saying.
        own = label("", manifest["iteration"])
        lost = ";\n".join(_comparison(comparison).replace(own, "") for comparison in results["comparisons"])
        required = f"{config['metric']}: ahead in at least {100 * config['min_probability']:g} % of resamples"
        verdict = f"chosen: {results['chosen'].removesuffix(own)}"
        return GateVerdict(**common, measured=lost or "no challenger", required=required, verdict=verdict)
    return None


def _limits(minimum: Mapping[str, float], maximum: Mapping[str, float]) -> str:
    least = [f"{name} at least {limit:.4g}" for name, limit in minimum.items()]
    return ", ".join([*least, *(f"{name} at most {limit:.4g}" for name, limit in maximum.items())])


def _comparison(comparison: Mapping[str, Any]) -> str:
    """For example `DPO over student: +0.106 [+0.074, +0.138], ahead in 100 %: accepted`."""
    mean, low, high = (f"{comparison[name]:+.3f}" for name in ("mean", "low", "high"))
    word = "accepted" if comparison["accepted"] else "refused"
    share = f"ahead in {100 * comparison['probability']:.0f} %"
    return f"{comparison['candidate']} over {comparison['champion']}: {mean} [{low}, {high}], {share}: {word}"


def _reasons(dropped: Mapping[str, int]) -> str:
    counts: Iterator[str] = (f"{reason.replace('_', ' ')} {n:,}" for reason, n in dropped.items() if n)
    return ", ".join(counts) or "nothing"
