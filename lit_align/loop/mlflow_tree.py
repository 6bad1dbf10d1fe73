"""The runs of a loop in MLflow and where each belongs: the loop, its iterations, their stages."""

import json
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, final

from lit_align.files import write_json
from lit_align.loop.plan import Node
from lit_align.loop.stage import class_path
from lit_align.tracking.connection import Store
from lit_align.tracking.runs import Run, Status, continue_run, create_run

if TYPE_CHECKING:
    from mlflow import MlflowClient

IDENTITY = "tracking.json"

_LOOP = "lit_align.loop"
_KEY = "lit_align.key"
_PAGE = 1000


@final
class RunTree:
    """Finds the runs that earlier processes began by their tags, and makes those that are missing.

    Every run carries the loop's identity and its own key in it: "loop", "iteration 2", a stage's fingerprint. Used from
    one thread only.

    Args:
        store: Where the runs live.
        workdir: Keeps the loop's identity, a random number in `tracking.json`.
        name: The loop's name.
    """

    def __init__(self, *, store: Store, workdir: Path, name: str) -> None:
        self._store = store
        self._name = name
        self._workdir = workdir
        self._identity = _identity(workdir)
        self._known: dict[str, tuple[str, str]] = {}  # run id and status, by key
        self._client: MlflowClient | None = None
        self._experiment_id = ""

    def loop(self) -> Run:
        """Connects, and opens the loop's own run."""
        self._client, self._experiment_id = self._store.connect()
        self._known = dict(self._search())
        return self._open("loop", name=self._name, parent=None, tags={"lit_align.workdir": str(self._workdir)})

    def stage(self, node: Node) -> Run:
        """Opens the run of a stage, under its iteration's."""
        parent = self._run_id("loop")
        if node.iteration is not None:
            parent = self._iteration(node.iteration, parent=parent)
        tags = {"lit_align.fingerprint": node.artifact.fingerprint, "lit_align.stage": class_path(type(node.stage))}
        return self._open(node.artifact.fingerprint, name=node.title, parent=parent, tags=tags)

    def is_finished(self, node: Node) -> bool:
        """Whether a stage's run is complete."""
        return self._known.get(node.artifact.fingerprint, ("", ""))[1] == "FINISHED"

    def end(self, node: Node, run: Run, status: Status) -> None:
        """Ends a stage's run."""
        run.set_status(status)
        self._known[node.artifact.fingerprint] = run.run_id, status

    def end_all(self, status: Status) -> None:
        """Ends the loop's run, and whatever else is still running."""
        for key, (run_id, known) in list(self._known.items()):
            if known == "RUNNING":
                Run(client=self._connected(), run_id=run_id).set_status(status)
                self._known[key] = run_id, status

    def _iteration(self, iteration: int, *, parent: str) -> str:
        key = f"iteration {iteration}"
        if self._known.get(key, ("", ""))[1] != "RUNNING":
            self._open(key, name=key, parent=parent, tags={"lit_align.iteration": str(iteration)})
        return self._run_id(key)

    def _open(self, key: str, *, name: str, parent: str | None, tags: dict[str, str]) -> Run:
        if key in self._known:
            run = continue_run(self._connected(), self._run_id(key))
        else:
            own = {_LOOP: self._identity, _KEY: key}
            run = create_run(self._connected(), self._experiment_id, name=name, parent_run_id=parent, tags=tags | own)
        self._known[key] = run.run_id, "RUNNING"
        return run

    def _run_id(self, key: str) -> str:
        return self._known[key][0]

    def _connected(self) -> "MlflowClient":
        assert self._client is not None, "loop() comes first"
        return self._client

    def _search(self) -> list[tuple[str, tuple[str, str]]]:
        """Keys with run ids and statuses; of two runs with one key, as two drivers at once would make, the older."""
        found, token = [], None
        while True:
            page = self._connected().search_runs(
                [self._experiment_id],
                f"tags.`{_LOOP}` = '{self._identity}'",
                max_results=_PAGE,
                order_by=["attributes.start_time DESC"],
                page_token=token,
            )
            found += [(run.data.tags[_KEY], (run.info.run_id, run.info.status)) for run in page]
            token = page.token
            if not token:
                return found


def _identity(workdir: Path) -> str:
    file = workdir / IDENTITY
    if not file.is_file():
        write_json(file, {"loop": uuid.uuid4().hex})
    return json.loads(file.read_text(encoding="utf-8"))["loop"]
