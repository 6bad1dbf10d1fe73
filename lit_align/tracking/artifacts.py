"""Datasets, sample tables and model folders of an MLflow run."""

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lit_align.tracking.runs import Run
from lit_align.tracking.secrets import redact_text

_DIGEST_LENGTH = 36
_TABLES_TAG = "mlflow.loggedArtifacts"
_CELL_LENGTH = 4000


def log_dataset(
    run: Run, path: str | Path, *, name: str, context: str, digest: str, num_rows: int | None = None
) -> None:
    """Names a dataset as an input of the run, as `mlflow.log_input` does. Repeating it changes nothing.

    Args:
        run: The run that reads the data.
        path: A file, a folder or a hub id.
        name: What people call it.
        context: Its role: "training", "validation", "prompts", ...
        digest: A hash of its content; MLflow keeps 36 characters, the source keeps it whole.
        num_rows: Its length, where known.
    """
    from mlflow.entities import Dataset, DatasetInput, InputTag

    source = {"uri": redact_text(str(path)), "digest": digest}
    profile = None if num_rows is None else json.dumps({"num_rows": num_rows})
    dataset = Dataset(
        name=name[:500], digest=digest[:_DIGEST_LENGTH], source_type="local", source=json.dumps(source), profile=profile
    )
    run.client.log_inputs(run.run_id, [DatasetInput(dataset, [InputTag("mlflow.data.context", context)])])


def log_table(run: Run, rows: Sequence[Mapping[str, Any]], *, name: str) -> None:
    """Stores rows as a table that MLflow's interface shows and compares. A table of that name is replaced.

    Args:
        run: The run.
        rows: Any columns; a missing cell is empty, a value that is no JSON scalar is written as JSON, a long text cut.
        name: File name without ending.
    """
    columns = list(dict.fromkeys(key for row in rows for key in row))
    file = f"{name}.json"
    data = [[_cell(row.get(column)) for column in columns] for row in rows]
    run.client.log_dict(run.run_id, {"columns": columns, "data": data}, file)
    tables = json.loads(run.client.get_run(run.run_id).data.tags.get(_TABLES_TAG, "[]"))
    entry = {"path": file, "type": "table"}
    if entry not in tables:
        run.client.set_tag(run.run_id, _TABLES_TAG, json.dumps([*tables, entry]))


def log_folder(run: Run, folder: str | Path, *, name: str, upload: bool = False) -> None:
    """Notes where a model folder lies, as the tag `lit_align.folder.<name>`; `upload` also copies it to the store."""
    run.set_tags({f"lit_align.folder.{name}": Path(folder).resolve()})
    if upload:
        run.client.log_artifacts(run.run_id, str(folder), name)


def _cell(value: Any) -> str | int | float | bool | None:
    if value is None or isinstance(value, bool | int) or (isinstance(value, float) and math.isfinite(value)):
        return value
    text = value if isinstance(value, str) else json.dumps(value, default=str, ensure_ascii=False)
    return text if len(text) <= _CELL_LENGTH else text[:_CELL_LENGTH] + " ..."
