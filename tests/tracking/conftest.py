"""One MLflow database for all tracking tests: making one costs seconds."""

import pytest

from lit_align.tracking.connection import Store, store_at


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """A database with an experiment in it."""
    store = store_at(tmp_path_factory.mktemp("store"))
    store.connect()
    return store


@pytest.fixture(autouse=True)
def _no_tracking_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("MLFLOW_TRACKING_URI", "LIT_ALIGN_RUN_ID", "LIT_ALIGN_PARENT_RUN_ID"):
        monkeypatch.delenv(name, raising=False)
