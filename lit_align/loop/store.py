"""The store: one folder a fingerprint, complete or not there at all, and built in a folder that survives a kill."""

import os
import shutil
import time
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, final

from lit_align.errors import ConfigError
from lit_align.loop.choice import resolve
from lit_align.loop.manifest import LOG, MANIFEST, RUNNER_FILES, fault, read_manifest, sync
from lit_align.loop.stage import Artifact, Stage, fingerprint, stage_name

_TMP = ".tmp"
_DIGITS = 16
_DAY_SECONDS = 86_400.0


@dataclass(frozen=True, kw_only=True)
class Status:
    """Whether a stage's output is there.

    `built`: complete. `sealed`: complete but for the final rename. `interrupted`: begun. `damaged`: complete once, and
    `fault` says what is wrong. `absent`: nothing there.
    """

    state: Literal["built", "sealed", "interrupted", "damaged", "absent"]
    fault: str | None = None

    @property
    def is_cached(self) -> bool:
        """Whether nothing has to run."""
        return self.state in ("built", "sealed")


@final
class Store:
    """The artifacts of a workdir, under `<workdir>/store/<stage>-<first 16 digits of the fingerprint>/`."""

    def __init__(self, workdir: Path) -> None:
        self.root = workdir / "store"

    def artifact(self, stage: Stage, *, title: str) -> Artifact:
        """What a stage will have made, known before it is built."""
        digest = fingerprint(stage)
        return Artifact(fingerprint=digest, path=self.root / f"{stage_name(stage)}-{digest[:_DIGITS]}", title=title)

    def status(self, artifact: Artifact, *, full: bool = False) -> Status:
        """Looks at an artifact's folder; compares sizes with its manifest, and with `full` the hashes of all files."""
        folder, building = artifact.path, building_folder(artifact)
        if folder.exists():
            wrong = self._fault(artifact, folder, full=full)
            return Status(state="damaged", fault=wrong) if wrong else Status(state="built")
        if (building / MANIFEST).exists() and self._fault(artifact, building, full=full) is None:
            return Status(state="sealed")
        return Status(state="interrupted" if building.exists() else "absent")

    def begin(self, artifact: Artifact, *, resumable: bool) -> Path:
        """The folder to build in, with what a killed run of the same stage left: all if `resumable`, else the log."""
        self.discard(artifact)
        building = building_folder(artifact)
        building.mkdir(parents=True, exist_ok=True)
        for entry in building.iterdir():
            if entry.name != LOG and (not resumable or entry.name in RUNNER_FILES):
                _remove(entry)
        return building

    def commit(self, artifact: Artifact) -> dict[str, Any]:
        """Renames a sealed folder into place and returns its manifest."""
        os.rename(building_folder(artifact), artifact.path)
        sync(self.root)
        return self.manifest(artifact)

    def discard(self, artifact: Artifact) -> None:
        """Removes an artifact's complete folder; the manifest first, so that half a folder never looks whole."""
        if artifact.path.exists():
            (artifact.path / MANIFEST).unlink(missing_ok=True)
            shutil.rmtree(artifact.path)

    def manifest(self, artifact: Artifact) -> dict[str, Any]:
        """The manifest of a built artifact.

        Raises:
            ConfigError: It is not built.
        """
        manifest = read_manifest(artifact.path)
        if manifest is None:
            raise ConfigError(f"{artifact.title} is not built: no manifest in {artifact.path}")
        return manifest

    def folder(self, artifact: Artifact) -> Path:
        """The folder with an artifact's content, gates and champions followed."""
        return resolve(artifact).path

    def manifests(self) -> Iterator[tuple[Path, dict[str, Any]]]:
        """Every complete folder with its manifest, in order of name."""
        for folder in sorted(self.root.glob("*-*")):
            if folder.suffix != _TMP and (manifest := read_manifest(folder)) is not None:
                yield folder, manifest

    def find(self, fingerprint: str) -> tuple[Path, dict[str, Any]]:
        """The folder and manifest of a fingerprint, or of its first digits (8 at least).

        Raises:
            ConfigError: None, or more than one, fits.
        """
        found = [pair for pair in self.manifests() if pair[1]["fingerprint"].startswith(fingerprint)]
        if len(fingerprint) < 8 or len(found) != 1:
            raise ConfigError(f"{len(found)} artifacts in {self.root} have a fingerprint like {fingerprint!r}...")
        return found[0]

    def orphans(self, *, keep: Collection[Artifact], days: float) -> list[Path]:
        """Half-built folders that `keep` does not name and nobody has touched for `days`."""
        kept = {building_folder(artifact) for artifact in keep}
        limit = time.time() - days * _DAY_SECONDS
        folders = (folder for folder in sorted(self.root.glob(f"*{_TMP}")) if folder not in kept)
        return [folder for folder in folders if _last_change(folder) < limit]

    def remove_orphans(self, *, keep: Collection[Artifact], days: float) -> list[Path]:
        """Deletes the orphans and returns them."""
        orphans = self.orphans(keep=keep, days=days)
        for folder in orphans:
            shutil.rmtree(folder)
        return orphans

    def _fault(self, artifact: Artifact, folder: Path, *, full: bool) -> str | None:
        manifest = read_manifest(folder)
        if manifest is None:
            return f"{MANIFEST} is missing or unreadable"
        if manifest["fingerprint"] != artifact.fingerprint:
            return f"{MANIFEST} is that of another stage"
        return fault(folder, manifest, full=full)


def building_folder(artifact: Artifact) -> Path:
    """Where an artifact is built, beside its final place."""
    return artifact.path.with_name(artifact.path.name + _TMP)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink()


def _last_change(folder: Path) -> float:
    times = [folder.stat().st_mtime]
    for parent, _, names in os.walk(folder):
        times += [os.lstat(os.path.join(parent, name)).st_mtime for name in names]
    return max(times)
