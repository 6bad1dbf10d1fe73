"""Says what runs, once: on standard error, from the first process only."""

import os
import sys


def announce(text: str) -> None:
    """Prints a line or several to standard error, unless another process of the run does."""
    if all(os.environ.get(name, "0") == "0" for name in ("RANK", "LOCAL_RANK", "SLURM_PROCID")):
        print(text, file=sys.stderr, flush=True)
