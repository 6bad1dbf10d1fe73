"""The folder of a run, and the checkpoint that `--ckpt_path last` means."""

import os
from pathlib import Path

import pytest

from lit_align.cli.run_folder import last_checkpoint, latest_folder, new_folder
from lit_align.errors import ConfigError


def test_folders_are_numbered_after_the_highest(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert new_folder("dpo") == latest_folder("dpo") == Path("runs/dpo/1")
    for name in ("dpo/2", "dpo/10", "dpo/old"):
        (tmp_path / "runs" / name).mkdir(parents=True)
    assert (new_folder("dpo"), latest_folder("dpo")) == (Path("runs/dpo/11"), Path("runs/dpo/10"))


def test_last_is_the_newest_checkpoint_whoever_wrote_it(tmp_path):
    names = ("last.ckpt", "step-200.ckpt", "interrupted.ckpt", "best/epoch=1.ckpt")
    for age, name in enumerate(reversed(names)):
        file = tmp_path / "checkpoints" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
        os.utime(file, (1000 + age, 1000 + age))
    assert last_checkpoint(tmp_path, command="fit") == str(tmp_path / "checkpoints" / "last.ckpt")
    os.utime(tmp_path / "checkpoints" / "interrupted.ckpt", (2000, 2000))
    assert last_checkpoint(tmp_path, command="test") == str(tmp_path / "checkpoints" / "interrupted.ckpt")


def test_without_a_checkpoint_a_fit_begins_and_says_so(tmp_path, capsys):
    assert last_checkpoint(tmp_path / "run", command="fit") is None
    assert "training begins at the first step" in capsys.readouterr().err
    with pytest.raises(ConfigError, match="no checkpoint here"):
        last_checkpoint(tmp_path / "run", command="predict")
