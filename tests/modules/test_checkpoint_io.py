"""A checkpoint that cannot be written costs neither the one before it nor a riddle."""

import errno
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from lit_align.errors import ConfigError, ResourceError
from lit_align.modules.checkpoint_io import AtomicCheckpointIO, read_checkpoint

OLD, NEW = {"weight": torch.zeros(3000)}, {"weight": torch.ones(3000)}


@pytest.fixture
def written(tmp_path: Path) -> Path:
    path = tmp_path / "last.ckpt"
    AtomicCheckpointIO().save_checkpoint(OLD, path)
    return path


def assert_intact(path: Path) -> None:
    assert torch.equal(read_checkpoint(path)["weight"], OLD["weight"])
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_a_full_disk_keeps_the_checkpoint_that_was_there(written: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernel itself says that there is no space: the temporary file is /dev/full."""
    make = tempfile.mkstemp

    def full(**options: Any) -> tuple[int, str]:
        handle, name = make(**options)
        os.close(handle)
        return os.open("/dev/full", os.O_RDWR), name

    monkeypatch.setattr(tempfile, "mkstemp", full)
    with pytest.raises(ResourceError, match="No space left") as error:
        AtomicCheckpointIO().save_checkpoint(NEW, written)
    assert error.value.exit_code == 4
    assert_intact(written)


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EIO])
@pytest.mark.parametrize("call", ["fsync", "chmod", "replace"])
def test_no_failing_call_costs_the_old_checkpoint(
    call: str, code: int, written: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*args: Any) -> None:
        raise OSError(code, os.strerror(code))

    with monkeypatch.context() as patch:
        patch.setattr(os, call, fail)
        with pytest.raises(OSError if code == errno.EIO else ResourceError, match=os.strerror(code)):
            AtomicCheckpointIO().save_checkpoint(NEW, written)
    assert_intact(written)


def test_a_new_checkpoint_replaces_the_old_one_and_folders_are_made(written: Path, tmp_path: Path) -> None:
    for path in (written, tmp_path / "a" / "b" / "first.ckpt"):
        AtomicCheckpointIO().save_checkpoint(NEW, path)
        assert torch.equal(AtomicCheckpointIO().load_checkpoint(path)["weight"], NEW["weight"])


@pytest.mark.parametrize("damage", [lambda raw: raw[: len(raw) // 2], lambda raw: b"", lambda raw: b"text"])
def test_a_damaged_checkpoint_is_named(damage: Callable[[bytes], bytes], written: Path) -> None:
    written.write_bytes(damage(written.read_bytes()))
    with pytest.raises(ConfigError, match=r"last\.ckpt: not a checkpoint, or a damaged one"):
        read_checkpoint(written)


class Canary:
    """Writes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.path),)


def test_no_object_in_a_checkpoint_is_unpickled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "1")
    torch.save({"state_dict": {}, "extra": Canary(tmp_path / "canary")}, tmp_path / "bad.ckpt")
    with pytest.raises(ConfigError, match="damaged"):
        AtomicCheckpointIO().load_checkpoint(tmp_path / "bad.ckpt", weights_only=False)
    assert not (tmp_path / "canary").exists()
