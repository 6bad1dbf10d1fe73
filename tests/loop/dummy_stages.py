"""Tiny stages for the loop's tests: no torch, a few milliseconds each."""

import json
import os
import signal
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, final

from lit_align.errors import DataError
from lit_align.loop import Artifact, MetricGate, Observer, Program, Runner, Stage, StageContext


@final
@dataclass(frozen=True, kw_only=True)
class Write(Stage):
    """Writes a text; `workers` does not count."""

    version: ClassVar[int] = 1
    shown: ClassVar[tuple[str, ...]] = ("length", "absent.name")

    text: str
    seconds: float = 0.0
    workers: int = field(default=1, metadata={"fingerprint": False})

    def run(self, output: Path, context: StageContext) -> dict[str, Any]:
        time.sleep(self.seconds)
        print(f"writing {self.text}")
        (output / "out.txt").write_text(self.text)
        return {"length": len(self.text), "share": 0.5}


@final
@dataclass(frozen=True, kw_only=True)
class Join(Stage):
    """Joins the texts of its parts, in order."""

    version: ClassVar[int] = 1

    parts: tuple[Artifact, ...]
    separator: str = "+"

    def run(self, output: Path, context: StageContext) -> dict[str, Any]:
        text = self.separator.join((part.path / "out.txt").read_text() for part in self.parts)
        (output / "out.txt").write_text(text)
        return {"text": text, "seed": context.seed}


@final
@dataclass(frozen=True, kw_only=True)
class Count(Stage):
    """Writes one line after another and continues where it was killed."""

    version: ClassVar[int] = 1
    resumable: ClassVar[bool] = True

    num_lines: int
    seed: int = 0
    after: Artifact | None = None
    pause: float = field(default=0.0, metadata={"fingerprint": False})

    def run(self, output: Path, context: StageContext) -> dict[str, Any]:
        (output / "pid").write_text(str(os.getpid()))
        path = output / "out.txt"
        before = path.read_text().splitlines(keepends=True) if path.exists() else []
        lines = [line for line in before if line.endswith("\n")]
        print(f"starts at {len(lines)}")
        with open(path, "w") as file:
            file.writelines(lines)
            for number in range(len(lines), self.num_lines):
                time.sleep(self.pause)
                file.write(f"{self.seed + number}\n")
                file.flush()
                context.progress(number + 1, self.num_lines)
        (output / "pid").unlink()
        return {"num_lines": self.num_lines}


@final
@dataclass(frozen=True, kw_only=True)
class Fail(Stage):
    """Fails in the way that `how` says."""

    version: ClassVar[int] = 1

    how: str
    after: Artifact | None = None

    def run(self, output: Path, context: StageContext) -> dict[str, Any]:
        if self.how == "data":
            raise DataError("rows.jsonl:3: no prompt")
        if self.how == "bug":
            raise RuntimeError("an unexpected thing")
        if self.how == "nan":
            return {"loss": float("nan")}
        if self.how == "exit":
            sys.exit(9)
        os.kill(os.getpid(), getattr(signal, self.how))
        return {}


@final
@dataclass(frozen=True, kw_only=True)
class Evaluate(Stage):
    """Gives every prompt the score that `scores` says."""

    version: ClassVar[int] = 1

    model: Artifact
    scores: tuple[float, ...]

    def run(self, output: Path, context: StageContext) -> dict[str, Any]:
        rows = [{"id": f"p{i}", "correct": score} for i, score in enumerate(self.scores)]
        (output / "per_prompt.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        return {"accuracy": sum(self.scores) / len(self.scores), "nested": {"strict": 0.25}}


@final
@dataclass(frozen=True, kw_only=True)
class Process(Stage):
    """Tells about the process it runs in."""

    version: ClassVar[int] = 1

    name: str = ""

    def run(self, output: Path, context: StageContext) -> dict[str, Any]:
        (output / "environment.json").write_text(json.dumps(dict(os.environ)))
        heavy = [name for name in ("torch", "wave") if name in sys.modules]
        return {"pid": os.getpid(), "heavy": heavy, "seed": context.seed, "threads": context.threads}


@final
class Numbers(Program):
    """A program of `num_chains` chains of counts that are joined and counted on.

    Args:
        num_chains: Chains beside each other.
        pause: Seconds a line.
        broken: Stop at a gate.
    """

    preload: ClassVar[tuple[str, ...]] = ()

    def __init__(self, *, num_chains: int = 3, pause: float = 0.0, broken: bool = False) -> None:
        self.num_chains = num_chains
        self.pause = pause
        self.broken = broken

    def build(self, runner: Runner) -> None:
        tails = []
        for chain in range(self.num_chains):
            head = Count(num_lines=8, seed=10 * chain, pause=self.pause)
            first = runner.add(head, title=f"head {chain}", iteration=1)
            tail = Count(num_lines=4, seed=chain, after=first, pause=self.pause)
            tails.append(runner.add(tail, title=f"tail {chain}", iteration=1))
        joined = runner.add(Join(parts=tuple(tails)), title="join")
        scores = runner.add(Evaluate(model=joined, scores=(1.0, 0.0)), title="evaluate")
        gate = MetricGate(subject=joined, evaluation=scores, minimum={"accuracy": 0.9 if self.broken else 0.5})
        self.last = runner.add(Join(parts=(runner.add(gate, title="gate"),)), title="last")

    def finish(self, runner: Runner) -> int | None:
        (runner.workdir / "results.json").write_text(json.dumps(runner.results(self.last)))
        return None


@final
@dataclass(frozen=True, kw_only=True)
class Train(Stage):
    """Takes a few optimizer steps in parallel threads, as a fork of a parent that has imported torch."""

    version: ClassVar[int] = 1

    def run(self, output: Path, context: StageContext) -> dict[str, Any]:
        before = set(sys.modules)
        import torch
        from lightning.pytorch import Trainer
        from lightning.pytorch.demos.boring_classes import BoringModel

        trainer = Trainer(max_steps=2, logger=False, enable_checkpointing=False, enable_progress_bar=False)
        trainer.fit(BoringModel())
        large = torch.ones(400, 400, requires_grad=True)
        (large @ large).sum().backward()
        late = sorted(name for name in set(sys.modules) - before if not name.startswith("lightning.pytorch.demos"))
        return {"steps": trainer.global_step, "threads": torch.get_num_threads(), "late": late}


class Recorder(Observer):
    """Writes down what it is told."""

    def __init__(self):
        self.calls = []

    def on_run_start(self, *, name, workdir, nodes, resumed):
        self.calls.append(("run", name, len(nodes), resumed))

    def on_stage_start(self, node):
        self.calls.append(("start", node.label))
        return {"LIT_ALIGN_PARENT_RUN_ID": f"run of {node.title}"}

    def on_stage_end(self, node, manifest, *, cached):
        self.calls.append(("end", node.label, manifest["results"], cached))

    def on_stage_failed(self, node, error):
        self.calls.append(("failed", node.label, type(error).__name__))

    def on_run_end(self, *, status):
        self.calls.append(("over", status))
