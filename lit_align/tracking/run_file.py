"""Which MLflow run a logger writes to, and the file `mlflow-run.json` that remembers it for a resumed fit."""

import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import final

from lit_align.files import write_json
from lit_align.tracking.connection import Store
from lit_align.tracking.runs import Run, continue_run, create_run

RUN_FILE = "mlflow-run.json"
UNSENT_FILE = "mlflow-unsent.jsonl"
RUN_ID_VARIABLE = "LIT_ALIGN_RUN_ID"
PARENT_RUN_ID_VARIABLE = "LIT_ALIGN_PARENT_RUN_ID"


@final
@dataclass(kw_only=True)
class RunChoice:
    """Opens one run: the one it opened before, the one named, the one the folder remembers, or a new one.

    Args:
        folder: Where the run is remembered.
        store: Where the run lives.
        run_name: Name of a new run.
        run_id: The run to continue; default: the variable LIT_ALIGN_RUN_ID.
        parent_run_id: Parent of a new run; default: the variable LIT_ALIGN_PARENT_RUN_ID.
        tags: Tags of a new run.
    """

    folder: Path
    store: Store
    run_name: str | None = None
    run_id: str | None = None
    parent_run_id: str | None = None
    tags: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Reads the environment once, at construction."""
        self.run_id = self.run_id or os.environ.get(RUN_ID_VARIABLE)
        self.parent_run_id = self.parent_run_id or os.environ.get(PARENT_RUN_ID_VARIABLE)
        self._run: Run | None = None

    @property
    def is_made(self) -> bool:
        """Whether the run is certain, whatever a Trainer does."""
        return bool(self._run or self.run_id)

    def open(self, *, resumed: bool) -> Run:
        """Opens the run; `resumed` allows the one that the folder remembers.

        Raises:
            mlflow.exceptions.MlflowException: The store cannot be reached or refuses.
        """
        if self._run is not None:
            self._run.set_status("RUNNING")
            return self._run
        if run_id := self.run_id or (remembered_run(self.folder, self.store) if resumed else None):
            self._run = continue_run(self.store.client(), run_id)
            return self._run
        client, experiment_id = self.store.connect()
        self._run = create_run(
            client, experiment_id, name=self.run_name, parent_run_id=self.parent_run_id, tags=self.tags
        )
        known = {"tracking_uri": self.store.shown_uri, "experiment": self.store.experiment_name}
        write_json(self.folder / RUN_FILE, known | {"run_id": self._run.run_id})
        return self._run


def remembered_run(folder: Path, store: Store) -> str | None:
    """The run that a logger of this folder wrote to, if it was in this store."""
    try:
        known = json.loads((folder / RUN_FILE).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    return known["run_id"] if known["tracking_uri"] == store.shown_uri else None
