"""`python -m benchmarks`: measures against a baseline in the same run, and prints ratios with machine and versions."""

import argparse
import os
import platform
from importlib import metadata

import torch

from benchmarks import training


def main() -> None:
    """Runs the benchmarks and prints one Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=7, help="Steps of each kind, alternating; the median counts.")
    parser.add_argument("--rows", type=int, default=8, help="Rows or pairs of a step.")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1, help="CPU threads.")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    versions = ", ".join(f"{name} {metadata.version(name)}" for name in ("lit-align", "torch", "transformers"))
    print(f"{platform.processor() or platform.machine()}, {options.threads} threads, fp32; {versions}\n")
    print("| step | packed, shared prompt | padded, textbook | ratio | losses differ by |")
    print("|---|---|---|---|---|")
    for result in training.measure(rows=options.rows, repeats=options.repeats):
        print(
            f"| {result.name} | {result.packed_seconds:.3f} s | {result.padded_seconds:.3f} s "
            f"| {result.ratio:.2f}x | {result.loss_difference:.1e} |"
        )


if __name__ == "__main__":
    main()
