"""Where numbers go: a local `metrics.jsonl` always, MLflow beside it, with secrets taken out."""

import importlib
import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lit_align.tracking.artifacts import log_dataset, log_folder, log_table
    from lit_align.tracking.connection import ui_command
    from lit_align.tracking.jsonl_logger import JsonlLogger
    from lit_align.tracking.metrics_file import read_metrics
    from lit_align.tracking.mlflow_logger import MLflowLogger
    from lit_align.tracking.runs import Run
    from lit_align.tracking.save_config import SaveConfig
    from lit_align.tracking.secrets import redact

__all__ = [
    "JsonlLogger",
    "MLflowLogger",
    "Run",
    "SaveConfig",
    "log_dataset",
    "log_folder",
    "log_table",
    "read_metrics",
    "redact",
    "ui_command",
]

# MLflow reports its use to its makers from the moment it is imported, unless this is set before.
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")

# Imported on first use: the loggers need Lightning, which a driver that only watches a loop should not pay for.
_MODULES = {
    "JsonlLogger": "jsonl_logger",
    "MLflowLogger": "mlflow_logger",
    "Run": "runs",
    "SaveConfig": "save_config",
    "log_dataset": "artifacts",
    "log_folder": "artifacts",
    "log_table": "artifacts",
    "read_metrics": "metrics_file",
    "redact": "secrets",
    "ui_command": "connection",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)
