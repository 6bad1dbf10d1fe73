"""What `make bench` is told, in BENCH_ARGS."""

import argparse
import hashlib
import json
import os
import subprocess
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.workers import ROOT

TASKS = ("sft", "reward", "dpo", "rpo", "avx2", "scoring", "generation", "encoding", "sweeps")


@dataclass(frozen=True, kw_only=True)
class Options:
    """One run of the benchmarks.

    Attributes:
        only: Tasks, in the order of `TASKS`.
        model: See `benchmarks.sizes.llama`.
        hh: A folder of HH-RLHF.
        rows: A JSON-lines file with `prompt`, `chosen` and `rejected`.
        batch_size: Rows, or pairs, of a step.
        max_length: Most tokens of a prompt and one response; longer rows are left out for every system.
        threads: CPU threads of every system.
        repeats: Measured steps of a system.
        peer_repeats: Measured steps of TRL, which takes most of the time.
        encoded_rows: Rows of the measurement of tokenisation.
        peers: Whether TRL is measured.
        quick: Whether measurements are shortened to a few minutes.
    """

    only: tuple[str, ...]
    model: str
    hh: str | None
    rows: str | None
    batch_size: int
    max_length: int
    threads: int
    repeats: int
    peer_repeats: int
    encoded_rows: int
    peers: bool
    quick: bool

    def key(self, commit: str) -> str:
        """Names the folder of a run: the same measurements of the same code continue there."""
        values = {name: value for name, value in asdict(self).items() if name != "only"}
        return hashlib.sha256(json.dumps([values, commit], sort_keys=True).encode()).hexdigest()[:8]


@dataclass(frozen=True, kw_only=True)
class Action:
    """What happens besides measuring.

    Attributes:
        write: Whether docs/performance.md and its plots are written.
        render: Whether only the page is written anew, from the numbers that lie beside it.
        fresh: Whether finished tasks are measured again.
        out: The folder of the run; found by its settings unless given.
    """

    write: bool
    render: bool
    fresh: bool
    out: Path | None


def parse(arguments: list[str] | None = None) -> tuple[Options, Action]:
    """Reads the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Measures lit-align against its peers.")
    parser.add_argument("--only", default=",".join(TASKS), help=f"Tasks with commas between: {', '.join(TASKS)}.")
    parser.add_argument("--quick", action="store_true", help="A few minutes instead of 25: fewer steps and points.")
    parser.add_argument("--model", default="22m", help="tiny, small, 22m, 60m, 160m, or hidden=512,layers=8,...")
    rows = parser.add_mutually_exclusive_group()
    rows.add_argument("--hh", help="A folder of HH-RLHF: its rows instead of drawn ones.")
    rows.add_argument("--rows", help="A JSON-lines file with prompt, chosen, rejected: its rows instead of drawn ones.")
    parser.add_argument("--batch-size", type=int, default=8, help="Rows or pairs of a step.")
    parser.add_argument("--max-length", type=int, default=1024, help="Longer rows are left out.")
    parser.add_argument("--threads", type=int, default=_cores(), help="CPU threads of every system.")
    parser.add_argument("--repeats", type=int, help="Measured steps of a system (5; 2 with --quick).")
    parser.add_argument("--peer-repeats", type=int, help="Measured steps of TRL (3; 1 with --quick).")
    parser.add_argument("--encoded-rows", type=int, help="Rows to tokenise (100,000; 5,000 with --quick).")
    parser.add_argument("--no-peers", action="store_true", help="Leaves TRL and its environment out.")
    parser.add_argument("--write", action="store_true", help="Writes docs/performance.md and its plots.")
    parser.add_argument("--render", action="store_true", help="Measures nothing: writes the page from its own numbers.")
    parser.add_argument("--fresh", action="store_true", help="Measures finished tasks again.")
    parser.add_argument("--out", type=Path, help="The folder of the run; runs/bench/KEY unless given.")
    given = parser.parse_args(arguments)
    only = given.only.split(",")
    if unknown := sorted(set(only) - set(TASKS)):
        parser.error(f"--only: unknown {', '.join(unknown)}; known: {', '.join(TASKS)}")
    quick = given.quick
    options = Options(
        only=tuple(task for task in TASKS if task in only),
        model=given.model,
        hh=given.hh,
        rows=given.rows,
        batch_size=given.batch_size,
        max_length=given.max_length,
        threads=given.threads,
        repeats=given.repeats or (2 if quick else 5),
        peer_repeats=given.peer_repeats or (1 if quick else 3),
        encoded_rows=given.encoded_rows or (5_000 if quick else 100_000),
        peers=not given.no_peers,
        quick=quick,
    )
    return options, Action(write=given.write, render=given.render, fresh=given.fresh, out=given.out)


def commit() -> str:
    """The commit of the tree, and whether files differ from it."""
    return _git("describe", "--always", "--dirty", "--abbrev=12") or "unknown"


def state() -> str:
    """What tells this code from other code: the commit, and the changes since then."""
    changes = _git("diff", "HEAD", "--", "lit_align", "benchmarks")
    return commit() + hashlib.sha256(changes.encode()).hexdigest()


def _git(*arguments: str) -> str:
    result = subprocess.run(["git", "-C", str(ROOT), *arguments], capture_output=True, text=True, check=False)
    return result.stdout.strip()


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
