"""A stage's process: reads the spec in the stage's folder, runs the stage, and seals the folder with its manifest."""

import argparse
import errno
import json
import os
import random
import socket
import sys
import time
import traceback
from collections.abc import Collection, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from lit_align.errors import ConfigError, Interrupted, LitAlignError, ResourceError
from lit_align.files import write_json
from lit_align.loop import spec as specs
from lit_align.loop.choice import resolve_all
from lit_align.loop.manifest import ERROR, PROGRESS, seal
from lit_align.loop.process import end_with
from lit_align.loop.stage import Stage, StageContext, as_results, class_path, config, fingerprint, inputs, settings

_PROGRESS_EVERY_SECONDS = 0.2
_RANK_VARIABLES = ("RANK", "SLURM_PROCID", "LOCAL_RANK")
_NO_SPACE = (errno.ENOSPC, errno.EDQUOT)


def main(argv: Sequence[str] | None = None) -> int:
    """`python -m lit_align.loop.worker SPEC`: the entry of stages that a launcher command starts."""
    parser = argparse.ArgumentParser(prog="python -m lit_align.loop.worker", description=main.__doc__)
    parser.add_argument("spec", type=Path, help="spec.json in the stage's folder")
    parser.add_argument("--package", action="append", default=[], help="a package whose classes may be run")
    parser.add_argument("--driver", default=":", help="HOST:PID of the process with which this one ends, if on HOST")
    arguments = parser.parse_args(argv)
    host, _, pid = arguments.driver.rpartition(":")
    if host == socket.gethostname():
        end_with(int(pid))
    return run_spec(arguments.spec, packages=arguments.package)


def run_spec(path: Path, *, packages: Collection[str] = ()) -> int:
    """Runs the stage that `path` describes in the folder of `path` and returns the exit code.

    The folder is sealed with a manifest on success, else given an `error.json`; of several ranks the first one does it.
    """
    output = Path(os.path.abspath(path)).parent
    try:
        _run(output, json.loads(path.read_text(encoding="utf-8")), packages={*specs.TRUSTED_PACKAGES, *packages})
    except (Exception, KeyboardInterrupt, SystemExit) as error:
        traceback.print_exc()
        known = as_known_error(error)
        if _is_first_rank():
            report = {"type": type(known).__name__, "exit_code": known.exit_code, "message": str(known)}
            write_json(output / ERROR, report)
        return known.exit_code
    return 0


def as_known_error(error: BaseException) -> LitAlignError:
    """The error that the driver reports for whatever a stage raised; a plain `LitAlignError` is a bug."""
    if isinstance(error, LitAlignError):
        return error
    # Lightning raises its SIGTERMException, a SystemExit, at the end of the batch.
    if isinstance(error, KeyboardInterrupt) or type(error).__name__ == "SIGTERMException":
        return Interrupted("the stage was interrupted")
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        text = str(error).partition("\n")[0]
        return ResourceError(f"out of memory: {text}\nSmaller micro-batches or gradient checkpointing need less.")
    if isinstance(error, OSError) and error.errno in _NO_SPACE:
        return ResourceError(f"no space left on the disk: {error.filename or error.strerror}")
    text = str(error).strip().partition("\n")[0]
    return LitAlignError(f"{type(error).__name__}: {text}" if text else type(error).__name__)


def _run(output: Path, spec: dict[str, Any], *, packages: Collection[str]) -> None:
    stage = specs.decode_stage(spec["stage"], store=output.parent, packages=packages)
    if (own := fingerprint(stage)) != spec["fingerprint"]:
        raise ConfigError(f"driver and stage process run different code: fingerprints {spec['fingerprint']} and {own}")
    resolved = resolve_all(stage)
    seed = _seed(stage, own)
    _seed_everything(seed, threads=spec["threads"])
    context = StageContext(
        title=spec["title"],
        iteration=spec["iteration"],
        fingerprint=own,
        seed=seed,
        threads=spec["threads"],
        progress=_Progress(output / PROGRESS),
    )
    begun, clock = datetime.now(UTC), time.monotonic()
    results = as_results(resolved.run(output, context), stage=class_path(type(stage)))
    seconds = round(time.monotonic() - clock, 3)
    times = {"started": begun.isoformat(), "finished": datetime.now(UTC).isoformat(), "seconds": seconds}
    if _is_first_rank():
        header = _header(stage, resolved, spec, seed=seed, store=output.parent)
        seal(output, header=header, results=results, timings={**times, "resumed": spec["resumed"]})


def _header(stage: Stage, resolved: Stage, spec: dict[str, Any], *, seed: int, store: Path) -> dict[str, Any]:
    parents = []
    for (field, artifact), (_, chosen) in zip(inputs(stage), inputs(resolved), strict=True):
        followed = {"chosen": specs.encode_artifact(chosen, store=store)} if chosen != artifact else {}
        parents.append({"field": field, **specs.encode_artifact(artifact, store=store), **followed})
    return {
        "fingerprint": spec["fingerprint"],
        "stage": class_path(type(stage)),
        "version": type(stage).version,
        "title": spec["title"],
        "iteration": spec["iteration"],
        "seed": seed,
        "config": config(stage),
        "settings": settings(stage),
        "inputs": parents,
        "code": spec["code"],
    }


def _seed(stage: Stage, digest: str) -> int:
    seed = config(stage).get("seed")
    return seed if isinstance(seed, int) else int(digest[:8], 16)


def _seed_everything(seed: int, *, threads: int) -> None:
    # Only what is imported already: a stage that needs no torch does not pay for it.
    random.seed(seed)
    if (numpy := sys.modules.get("numpy")) is not None:
        numpy.random.seed(seed % 2**32)
    if (torch := sys.modules.get("torch")) is not None:
        torch.manual_seed(seed)
        torch.set_num_threads(threads)


def _is_first_rank() -> bool:
    return next((os.environ[name] for name in _RANK_VARIABLES if name in os.environ), "0") == "0"


class _Progress:
    """Writes `[done, total]` for the driver to read, a few times a second at most."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._last = float("-inf")

    def __call__(self, done: int, total: int | None) -> None:
        now = time.monotonic()
        if _is_first_rank() and (now - self._last >= _PROGRESS_EVERY_SECONDS or done == total):
            self._last = now
            partial = self._path.with_name(".progress.tmp")
            partial.write_text(json.dumps([done, total]), encoding="utf-8")
            partial.replace(self._path)


if __name__ == "__main__":
    sys.exit(main())
