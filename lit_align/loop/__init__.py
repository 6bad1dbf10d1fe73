"""The loop: content-addressed stages that are skipped when built, continue after a kill, and know their parents."""

from lit_align.loop.ancestry import lineage
from lit_align.loop.choice import resolve
from lit_align.loop.gates import Champion, GateError, MetricGate
from lit_align.loop.inputs import external
from lit_align.loop.observer import Observer
from lit_align.loop.plan import Node
from lit_align.loop.program import Program
from lit_align.loop.runner import Runner
from lit_align.loop.stage import Artifact, Stage, StageContext
from lit_align.loop.store import Store

__all__ = [
    "Artifact",
    "Champion",
    "GateError",
    "MetricGate",
    "Node",
    "Observer",
    "Program",
    "Runner",
    "Stage",
    "StageContext",
    "Store",
    "external",
    "lineage",
    "resolve",
]
