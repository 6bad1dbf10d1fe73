"""Writes checkpoints so that neither a crash nor a full disk costs the one before."""

import errno
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any, final

import torch
from lightning.pytorch.plugins.io import TorchCheckpointIO

from lit_align.errors import ConfigError, ResourceError
from lit_align.files import atomic_write


@final
class AtomicCheckpointIO(TorchCheckpointIO):
    """Writes into a temporary file in the target's own folder and renames it; reads weights and plain values only.

    Lightning's own goes through `$TMPDIR`: across file systems that is a copy, and a kill or a full disk in the middle
    of it destroys the checkpoint that is being replaced.
    """

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: str | Path, storage_options: Mapping[str, Any] | None = None
    ) -> None:
        """Writes, syncs and renames.

        Raises:
            ResourceError: The disk is full; the file that was there before still is.
        """
        if storage_options is not None:
            raise ConfigError("checkpoints are local files: storage_options cannot be used")
        try:
            with atomic_write(path, "wb") as file:
                torch.save(checkpoint, file)
        except (OSError, RuntimeError) as error:
            # torch's zip writer turns a failed write into a RuntimeError.
            if isinstance(error, OSError) and error.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise
            raise ResourceError(
                f"the checkpoint {path} could not be written: {error}\n"
                "What was there before is intact. Free some space and continue from the last checkpoint (--ckpt_path)."
            ) from error

    def load_checkpoint(self, path: str | Path, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """Reads a checkpoint without unpickling anything but tensors and plain values."""
        return read_checkpoint(path)


def read_checkpoint(path: str | Path) -> dict[str, Any]:
    """Reads a checkpoint without unpickling anything but tensors and plain values.

    Raises:
        ConfigError: There is no such file, or it is not a whole and harmless checkpoint.
    """
    if Path(path).is_dir():
        raise ConfigError(
            f"{path}: a folder of sharded weights, which FSDP2 alone reads\n"
            "Continue with --trainer.strategy fsdp2, on any number of devices; after its last step it writes the model."
        )
    if not Path(path).is_file():
        raise ConfigError(f"{path}: no such checkpoint")
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except MemoryError:
        raise
    except Exception as error:  # damaged bytes fail in torch in every way there is
        # Not torch's own words for what it refuses to unpickle: they recommend the unsafe way.
        unsafe = isinstance(error, pickle.UnpicklingError)
        cause = str(error).splitlines()[0][:200] if str(error) and not unsafe else type(error).__name__
        raise ConfigError(
            f"{path}: not a checkpoint, or a damaged one: {cause}\nName a .ckpt file that lit-align wrote."
        ) from error
    if not isinstance(content, dict):
        raise ConfigError(f"{path}: not a checkpoint")
    return content
