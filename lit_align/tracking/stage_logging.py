"""The loggers of a training stage of a loop."""

import os
from pathlib import Path

from lightning.pytorch.loggers import Logger

from lit_align.tracking.jsonl_logger import JsonlLogger
from lit_align.tracking.mlflow_logger import MLflowLogger
from lit_align.tracking.run_file import RUN_ID_VARIABLE


def stage_loggers(folder: Path) -> list[Logger]:
    """`metrics.jsonl` in the folder, and the stage's MLflow run while the loop's observer has one open.

    Without one (tracking off, or its server down) nothing goes to MLflow from here: the observer sends what is missing
    from `metrics.jsonl` when the stage is done.
    """
    tracked = [MLflowLogger(folder)] if os.environ.get(RUN_ID_VARIABLE) else []
    return [JsonlLogger(folder), *tracked]
