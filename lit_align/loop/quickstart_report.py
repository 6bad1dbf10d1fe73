"""What the quickstart measured, as a table, results.json, timings.json and a report."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lit_align.loop.quickstart import Quickstart
    from lit_align.loop.runner import Runner


def write_quickstart_report(program: "Quickstart", runner: "Runner") -> int | None:
    """Collects results."""
    for title, iteration, _, evaluation in program.made.rows:
        r = runner.results(evaluation)
        print(f"{iteration} {title:20s} strict {r['strict']:.3f} constraints {r['constraints']:.3f} T=1 {r['sampled']:.3f}")
    for key, check in program.made.data_checks.items():
        print(key, runner.results(check)["correct"])
    r = runner.results(program.made.reward_evaluation)
    print({k: r[k] for k in ("pair_accuracy", "random", "best_of_n")})
    return 0
