"""Lineage: from a model or a row to the data, the models and the settings it came from, read from the manifests."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lit_align.loop.choice import chosen_title
from lit_align.loop.manifest import read_manifest
from lit_align.loop.plan import label
from lit_align.loop.store import Store


@dataclass(frozen=True, kw_only=True)
class Ancestor:
    """An artifact with what it was made from.

    Args:
        title: Its title.
        stage: Class path of the stage that made it; None for an input from outside the store.
        fingerprint: Its fingerprint.
        place: Its folder in the store, or where the input came from.
        config: The settings that decided it.
        parents: What it was made from, with the name of the field.
        chosen: Title of what a gate or champion lets through.
    """

    title: str
    stage: str | None
    fingerprint: str
    place: str
    config: dict[str, Any]
    parents: tuple[tuple[str, "Ancestor"], ...]
    chosen: str | None = None


def lineage(store: Store, fingerprint: str) -> Ancestor:
    """The ancestry of an artifact by its fingerprint or the first digits of it, such as a row's generator carries.

    Raises:
        ConfigError: No artifact, or more than one, has it.
    """
    folder, manifest = store.find(fingerprint)
    return _ancestor(folder, manifest, {})


def walk(root: Ancestor) -> Iterator[Ancestor]:
    """Every ancestor once, the artifact itself first."""
    seen: set[str] = set()
    pending = [root]
    while pending:
        ancestor = pending.pop()
        if ancestor.fingerprint not in seen:
            seen.add(ancestor.fingerprint)
            yield ancestor
            pending.extend(parent for _, parent in reversed(ancestor.parents))


def render(root: Ancestor) -> str:
    """The ancestry as indented lines; what was shown before is only named."""
    return "\n".join(_lines(root, field="", depth=0, seen=set()))


def _ancestor(folder: Path, manifest: dict[str, Any], known: dict[str, Ancestor]) -> Ancestor:
    fingerprint = manifest["fingerprint"]
    if fingerprint not in known:
        parents = tuple((entry["field"], _parent(folder.parent, entry, known)) for entry in manifest["inputs"])
        known[fingerprint] = Ancestor(
            title=label(manifest["title"], manifest["iteration"]),
            stage=manifest["stage"],
            fingerprint=fingerprint,
            place=folder.name,
            config=manifest["config"],
            parents=parents,
            chosen=chosen_title(folder),
        )
    return known[fingerprint]


def _parent(store: Path, entry: dict[str, Any], known: dict[str, Ancestor]) -> Ancestor:
    name = entry.get("store")
    if name is not None and (manifest := read_manifest(store / name)) is not None:
        return _ancestor(store / name, manifest, known)
    return Ancestor(
        title=entry["title"],
        stage=None,
        fingerprint=entry["fingerprint"],
        place=name or entry["path"],
        config={},
        parents=(),
    )


def _lines(ancestor: Ancestor, *, field: str, depth: int, seen: set[str]) -> Iterator[str]:
    text = f"{'  ' * depth}{f'{field}: ' if field else ''}{ancestor.title} ({ancestor.place})"
    text += f", which chose {ancestor.chosen}" if ancestor.chosen is not None else ""
    if ancestor.fingerprint in seen and ancestor.parents:
        yield f"{text}, as above"
        return
    seen.add(ancestor.fingerprint)
    yield text
    for name, parent in ancestor.parents:
        yield from _lines(parent, field=name, depth=depth + 1, seen=seen)
