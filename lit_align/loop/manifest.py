"""The manifest of a stage's folder: what it is, what it came from, what came out, and the hash of every file."""

import json
import os
import platform
import subprocess
from collections.abc import Iterator, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

from lit_align.errors import ConfigError
from lit_align.files import sha256_of_file, write_json

MANIFEST = "manifest.json"
SPEC = "spec.json"
ERROR = "error.json"
PROGRESS = "progress.json"
LOG = "log.txt"
RUNNER_FILES = frozenset({MANIFEST, SPEC, ERROR, PROGRESS, LOG})
SCHEMA = 1


def seal(output: Path, *, header: dict[str, Any], results: dict[str, Any], timings: dict[str, Any]) -> dict[str, Any]:
    """Makes `output` complete: every file hashed and on disk, the manifest last. Its presence means done."""
    files = {}
    for file in output_files(output):
        if file.name.startswith(".") and file.suffix == ".tmp":
            file.unlink()  # what a killed atomic write left
            continue
        sync(file)
        name = file.relative_to(output).as_posix()
        files[name] = {"size": file.stat().st_size, "sha256": sha256_of_file(file)}
    for name in (SPEC, ERROR, PROGRESS):
        (output / name).unlink(missing_ok=True)
    manifest = {"schema": SCHEMA, **header, "results": results, "files": files, "timings": timings}
    write_json(output / MANIFEST, manifest)
    sync(output)
    return manifest


def read_manifest(folder: Path) -> dict[str, Any] | None:
    """The manifest of a folder; None where there is none or it cannot be read."""
    try:
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return None
    return manifest if isinstance(manifest, dict) and manifest.get("schema") == SCHEMA else None


def fault(folder: Path, manifest: dict[str, Any], *, full: bool) -> str | None:
    """What is wrong with the files of a folder by its manifest: sizes, and with `full` also hashes. None if nothing."""
    for name, expected in manifest["files"].items():
        file = folder / name
        if not file.is_file():
            return f"{name} is missing"
        if (size := file.stat().st_size) != expected["size"]:
            return f"{name} has {size} bytes, the manifest says {expected['size']}"
        if full and sha256_of_file(file) != expected["sha256"]:
            return f"{name} has another content than the manifest says"
    return None


def output_files(output: Path) -> Iterator[Path]:
    """The files a stage wrote, in order of name; links to folders are not followed, the runner's own files left out."""
    for parent, folders, names in os.walk(output):
        folders.sort()
        for name in sorted(names):
            if parent != str(output) or name not in RUNNER_FILES:
                yield Path(parent) / name


def sync(path: Path) -> None:
    """Waits until a file or the names in a folder are on the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def read_results(folder: Path) -> dict[str, Any]:
    """The results of a stage's folder, or the `results.json` of any other folder.

    Raises:
        ConfigError: There are none.
    """
    manifest = read_manifest(folder)
    if manifest is not None:
        return manifest["results"]
    try:
        return json.loads((folder / "results.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(f"no results in {folder}: {error}") from error


def lookup(results: Mapping[str, Any], name: str) -> Any:  # a JSON value
    """The result of a dotted name, for example `accuracy.strict`.

    Raises:
        KeyError: There is none.
    """
    value: Any = results
    for part in name.split("."):
        if not isinstance(value, Mapping) or part not in value:
            raise KeyError(name)
        value = value[part]
    return value


def provenance() -> dict[str, Any]:
    """The code that runs: package version, git commit in a checkout, versions of Python and the main libraries."""
    versions = {name: _version(name) for name in ("torch", "lightning", "transformers")}
    return {"lit_align": _version("lit-align"), **_commit(), "python": platform.python_version(), **versions}


def _version(distribution: str) -> str | None:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None


def _commit() -> dict[str, Any]:
    package = Path(__file__).resolve().parents[1]
    # An installed package may lie inside somebody else's repository: only a tracked file counts.
    if _git(package, "ls-files", "--error-unmatch", "errors.py") is None:
        return {"git_commit": None, "git_dirty": None}
    changes = _git(package, "status", "--porcelain", "--untracked-files=no")
    return {"git_commit": _git(package, "rev-parse", "HEAD"), "git_dirty": bool(changes)}


def _git(folder: Path, *arguments: str) -> str | None:
    try:
        done = subprocess.run(["git", *arguments], cwd=folder, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()
