"""Sending metrics that MLflow missed: `python -m lit_align.tracking.backfill <folder>/metrics.jsonl`."""

from pathlib import Path

import yaml

from lit_align.errors import ConfigError, ServiceError
from lit_align.tracking.connection import EXPERIMENT, store_at
from lit_align.tracking.metrics_file import read_metrics
from lit_align.tracking.run_file import RunChoice, remembered_run
from lit_align.tracking.secrets import redact
from lit_align.tracking.voice import first_line


def backfill(
    metrics: str | Path,
    *,
    tracking_uri: str | None = None,
    experiment_name: str = EXPERIMENT,
    run_id: str | None = None,
) -> str:
    """Sends what MLflow lacks of a metrics file, and the `config.yaml` beside it. Repeating it sends nothing twice.

    Args:
        metrics: A `metrics.jsonl` or `mlflow-unsent.jsonl`.
        tracking_uri: Server or database; default: MLFLOW_TRACKING_URI, else the database in the folder.
        experiment_name: The MLflow experiment of a new run.
        run_id: The run to complete; default: the one the folder remembers, else a new one.

    Returns:
        The run's id.

    Raises:
        ConfigError: There is no such file.
        DataError: It holds a malformed line.
        ServiceError: The store cannot be reached or refuses.
    """
    path = Path(metrics)
    if not path.is_file():
        raise ConfigError(f"{path} does not exist\nName a metrics.jsonl or mlflow-unsent.jsonl.")
    points = read_metrics(path)
    store = store_at(path.parent, tracking_uri=tracking_uri, experiment_name=experiment_name)
    choice = RunChoice(
        folder=path.parent,
        store=store,
        run_name=path.resolve().parent.name,
        run_id=run_id or remembered_run(path.parent, store),
    )
    config = path.parent / "config.yaml"
    try:
        run = choice.open(resumed=True)
        run.log_metrics(points)
        if config.is_file():
            tree = redact(yaml.safe_load(config.read_text(encoding="utf-8")))
            run.log_text(yaml.safe_dump(tree, sort_keys=False, allow_unicode=True), config.name)
            run.log_params(tree)
        run.set_status("FINISHED")
    except Exception as error:
        message = f"MLflow at {store.shown_uri} failed: {first_line(error)}"
        raise ServiceError(f"{message}\n{path} is untouched; run the same command again.") from error
    return run.run_id


if __name__ == "__main__":
    import sys

    from jsonargparse import auto_cli

    from lit_align.errors import LitAlignError

    try:
        print(auto_cli(backfill))
    except LitAlignError as problem:
        print(problem, file=sys.stderr)
        sys.exit(problem.exit_code)
