"""`lit-align report`: writes the report of a run again, from what the run left in its folder."""

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lit_align.loop.results import LoopResults


def report(workdir: Path, /, *, output: Path | None = None) -> None:
    """Writes the HTML report of a run, finished or not, and prints its main table.

    A loop's report shows its table, plots, gates, lineage and samples; that of a single fit its training curves.

    Args:
        workdir: Folder of a run: `runs/quickstart`, or the folder of a `lit-align fit`.
        output: The HTML file; default: report.html in the folder.
    """
    from lit_align.loop.report import print_table, write_report

    results = _results(workdir)
    path = write_report(results, output or workdir / "report.html")
    print_table(results)
    print(f"report: {path}")


def _results(workdir: Path) -> "LoopResults":
    from lit_align.errors import ConfigError
    from lit_align.loop.report_store import unfinished
    from lit_align.loop.results_file import REPORT_DATA, load_report
    from lit_align.tracking.metrics_file import METRICS_FILE

    if not workdir.is_dir():
        raise ConfigError(f"{workdir} is no folder\nName the folder of a run, such as runs/quickstart.")
    if (workdir / REPORT_DATA).is_file():
        return load_report(workdir / REPORT_DATA)
    if (workdir / METRICS_FILE).is_file():
        return _of_fit(workdir)
    if (workdir / "store").is_dir():
        return unfinished(workdir)
    raise ConfigError(
        f"{workdir} holds no run: neither {REPORT_DATA} nor {METRICS_FILE} nor a store\n"
        "Name the folder of a `lit-align run` or `lit-align fit`."
    )


def _of_fit(folder: Path) -> "LoopResults":
    """The training curves and the config of a single fit."""
    import yaml

    from lit_align.loop.results import LoopResults
    from lit_align.loop.training_curves import training_plots
    from lit_align.tracking.metrics_file import METRICS_FILE

    config = folder / "config.yaml"
    return LoopResults(
        title=folder.resolve().name,
        training=training_plots(folder / METRICS_FILE),
        config=yaml.safe_load(config.read_text(encoding="utf-8")) if config.is_file() else {},
    )
