"""What all tests share: one thread, no network, the folder of real data, and the rules of `slow` and `gpu`."""

import os
from pathlib import Path

import pytest
from jaxtyping import install_import_hook

# Before torch is imported by anyone, and inherited by the processes that tests start.
for _name, _value in {
    "OMP_NUM_THREADS": "1",  # two threads are slower than one at test sizes
    "TOKENIZERS_PARALLELISM": "false",
    "HF_HUB_OFFLINE": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "MLFLOW_DISABLE_TELEMETRY": "true",
}.items():
    os.environ.setdefault(_name, _value)

install_import_hook("lit_align_plugins", "beartype.beartype(conf=beartype.BeartypeConf(is_pep484_tower=True))")

_REPOSITORY = Path(__file__).resolve().parent.parent


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--slow", action="store_true", help="also run the tests that take minutes")


def pytest_runtest_setup(item: pytest.Item) -> None:
    """`@pytest.mark.slow` and `@pytest.mark.gpu` skip by themselves, however pytest is started."""
    asked = item.config.getoption("--slow") or "slow" in (item.config.getoption("-m") or "")
    if item.get_closest_marker("slow") and not asked:
        pytest.skip("slow: give --slow or -m slow")
    if item.get_closest_marker("gpu"):
        import torch

        if not torch.cuda.is_available():
            pytest.skip("gpu: no CUDA device")


def pytest_make_parametrize_id(val: object, argname: str) -> str | None:
    """Bytes never stand in a test's name: gzip's hold the time, and parallel workers would disagree on what to run."""
    return argname if isinstance(val, bytes) else None


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real data that some tests read; the tests that need it skip where there is none."""
    folder = Path(os.environ.get("LIT_ALIGN_TEST_DATA", _REPOSITORY.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"no real data at {folder}; set LIT_ALIGN_TEST_DATA to a folder that has it")
    return folder
