"""Where things lie inside an artifact: `rows.jsonl` in data, `model/` in a trained model's folder."""

from dataclasses import dataclass
from pathlib import Path

from lit_align.loop.stage import Artifact

ROWS = "rows.jsonl"
MODEL = "model"


@dataclass(frozen=True, kw_only=True)
class Part:
    """A file or folder inside an artifact.

    Args:
        artifact: The folder, or an input file of the loop.
        file: The name inside; empty for the artifact itself.
    """

    artifact: Artifact
    file: str = ""

    @property
    def path(self) -> Path:
        """Where it is, inside a running stage."""
        return self.artifact.path / self.file if self.file else self.artifact.path

    @property
    def is_empty(self) -> bool:
        """Whether a file has nothing in it, inside a running stage."""
        return not self.path.stat().st_size


def rows_of(artifact: Artifact) -> Part:
    """The rows a stage wrote."""
    return Part(artifact=artifact, file=ROWS)


def model_path(artifact: Artifact) -> str:
    """The model folder of a trained artifact, or the model that came from outside (a folder or hub id)."""
    inner = artifact.path / MODEL
    return str(inner if inner.is_dir() else artifact.path)
