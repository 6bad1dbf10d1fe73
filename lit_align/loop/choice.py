"""Decisions: a gate or a champion is a stage whose folder refers to the artifact it lets through."""

import contextlib
import dataclasses
import json
import os
from pathlib import Path
from typing import Any, TypeVar, cast

from lit_align.files import write_json
from lit_align.loop.spec import decode_artifact, encode_artifact
from lit_align.loop.stage import Artifact

CHOICE = "choice.json"
LINK = "chosen"

_T = TypeVar("_T")


def write_choice(output: Path, chosen: Artifact, *, details: dict[str, Any]) -> None:
    """Makes the decision stage's folder `output` refer to `chosen`, relative to the store, so that it may be moved.

    `choice.json` is what is read; the link `chosen` beside it is for people.
    """
    write_json(output / CHOICE, {"chosen": encode_artifact(chosen, store=output.parent), **details})
    link = output / LINK
    link.unlink(missing_ok=True)
    if chosen.path.parent == output.parent:
        # A file system without links loses nothing but the convenience.
        with contextlib.suppress(OSError):
            os.symlink(Path(os.pardir) / chosen.path.name, link, target_is_directory=True)


def resolve(artifact: Artifact) -> Artifact:
    """Follows decisions to the artifact that was chosen; any other artifact comes back as it is."""
    while (chosen := _chosen(artifact.path)) is not None:
        artifact = decode_artifact(chosen, store=artifact.path.parent)
    return artifact


def chosen_title(folder: Path) -> str | None:
    """The title of what a decision's folder lets through; None for any other folder."""
    chosen = _chosen(folder)
    return None if chosen is None else chosen["title"]


def resolve_all(value: _T) -> _T:
    """A field's value, or a stage, with every artifact in it resolved."""
    return cast("_T", _resolve_all(value))


def _chosen(folder: Path) -> dict[str, Any] | None:
    file = folder / CHOICE
    return json.loads(file.read_text(encoding="utf-8"))["chosen"] if file.is_file() else None


def _resolve_all(value: object) -> object:
    if isinstance(value, Artifact):
        return resolve(value)
    if isinstance(value, list | tuple):
        return type(value)(map(_resolve_all, value))
    if isinstance(value, dict):
        return {key: _resolve_all(item) for key, item in value.items()}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        members = {field.name: _resolve_all(getattr(value, field.name)) for field in dataclasses.fields(value)}
        return dataclasses.replace(value, **members)
    return value
