"""Makes the dummy stages importable here and in the stages' processes."""

import sys
from pathlib import Path

import pytest

FOLDER = str(Path(__file__).parent)
if FOLDER not in sys.path:
    sys.path.append(FOLDER)


@pytest.fixture
def make_runner(tmp_path):
    """Makes runners of one workdir that preload nothing."""
    from lit_align.loop import Runner

    def make(workdir=tmp_path / "run", **options):
        return Runner(workdir, **{"preload": (), "parallel": 2, "threads": 1, **options})

    return make
