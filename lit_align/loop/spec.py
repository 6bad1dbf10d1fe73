"""Stages as JSON: how the driver hands one to the process that runs it, without pickle and without absolute paths."""

import dataclasses
from collections.abc import Collection
from importlib import import_module
from pathlib import Path
from typing import Any, cast

from lit_align.errors import ConfigError
from lit_align.loop.stage import Artifact, Json, Stage, class_path

TRUSTED_PACKAGES = ("lit_align", "lit_align_plugins")


def encode_stage(stage: Stage, *, store: Path) -> dict[str, Any]:
    """The class path and fields of a stage as JSON."""
    return cast("dict[str, Any]", encode(stage, store=store))


def decode_stage(value: dict[str, Any], *, store: Path, packages: Collection[str]) -> Stage:
    """The stage that `encode_stage` wrote.

    Raises:
        ConfigError: Its class is not a stage, cannot be imported, or lies outside `packages`.
    """
    stage = decode(value, store=store, packages=packages)
    if not isinstance(stage, Stage):
        raise ConfigError(f"{value.get('$class')} is not a stage")
    return stage


def encode(value: object, *, store: Path) -> Json:
    """A field's value as JSON from which `decode` makes the same value; artifacts in `store` by folder name only."""
    if isinstance(value, Artifact):
        return {"$artifact": encode_artifact(value, store=store)}
    if isinstance(value, Path):
        return {"$path": value.as_posix()}
    if isinstance(value, tuple):
        return {"$tuple": [encode(item, store=store) for item in value]}
    if isinstance(value, list):
        return [encode(item, store=store) for item in value]
    if isinstance(value, dict):
        return {key: encode(item, store=store) for key, item in value.items()}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        members = {field.name: encode(getattr(value, field.name), store=store) for field in dataclasses.fields(value)}
        return {"$class": class_path(type(value)), "fields": members}
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise TypeError(f"no JSON form for a {type(value).__name__}")


def decode(value: Json, *, store: Path, packages: Collection[str]) -> object:
    """The value that `encode` wrote; classes come from `packages` only."""
    if isinstance(value, list):
        return [decode(item, store=store, packages=packages) for item in value]
    if not isinstance(value, dict):
        return value
    if "$artifact" in value:
        return decode_artifact(value["$artifact"], store=store)
    if "$path" in value:
        return Path(value["$path"])
    if "$tuple" in value:
        return tuple(decode(item, store=store, packages=packages) for item in value["$tuple"])
    members = value["fields"] if "$class" in value else value
    decoded = {key: decode(item, store=store, packages=packages) for key, item in members.items()}
    return load_class(value["$class"], packages=packages)(**decoded) if "$class" in value else decoded


def encode_artifact(artifact: Artifact, *, store: Path) -> dict[str, Any]:
    """An artifact as JSON: by folder name in `store`, else by absolute path or hub id."""
    place = {"store": artifact.path.name} if artifact.path.parent == store else {"path": artifact.path.as_posix()}
    revision = {} if artifact.revision is None else {"revision": artifact.revision}
    return {"title": artifact.title, "fingerprint": artifact.fingerprint, **place, **revision}


def decode_artifact(value: dict[str, Any], *, store: Path) -> Artifact:
    """The artifact that `encode_artifact` wrote, for a store that may have moved."""
    path = store / value["store"] if "store" in value else Path(value["path"])
    return Artifact(fingerprint=value["fingerprint"], path=path, title=value["title"], revision=value.get("revision"))


def load_class(path: str, *, packages: Collection[str]) -> type:
    """Imports a class by its dotted path.

    Raises:
        ConfigError: It lies outside `packages`, or there is no such class.
    """
    module, _, name = path.rpartition(".")
    if path.partition(".")[0] not in packages:
        raise ConfigError(f"{path} may not be run: it lies outside the packages {', '.join(sorted(packages))}")
    try:
        found = getattr(import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise ConfigError(f"cannot import {path} in the stage's process: {error}") from error
    if not (isinstance(found, type) and dataclasses.is_dataclass(found)):
        raise ConfigError(f"{path} is not a dataclass")
    return found


def packages_of(value: object) -> set[str]:
    """The top-level packages of the classes in an encoded value."""
    if isinstance(value, list):
        return set().union(*map(packages_of, value))
    if not isinstance(value, dict):
        return set()
    own = {value["$class"].partition(".")[0]} if "$class" in value else set()
    return own.union(*map(packages_of, value.values()))
