"""Finds out what a source is, a file, a folder or a data set of the Hugging Face hub, and opens it."""

import re
from collections.abc import Iterable, Iterator
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from lit_align.data.readers import READERS, RawRow, Reading
from lit_align.errors import ConfigError, DataError
from lit_align.progress import progress

_HUB_ID = re.compile(r"([\w.-]+/[\w.-]+)(?::([\w.-]+)|:/([\w./-]+))?")  # owner/name, :subset or :/folder
_SHOW_PROGRESS_ABOVE = {"bytes": 20_000_000, "rows": 20_000}
_FORMATS = ", ".join(READERS)
REPORT_ENDING = ".report.json"
"""Ends the name of a file that tells about rows, and is none."""


def open_source(source: str | Path, *, split: str = "train") -> Reading:
    """Finds out what a source is and opens it.

    Raises:
        ConfigError: It does not exist or its format is not known.
    """
    path = Path(source).expanduser()
    if path.is_dir():
        return _open_folder(path, split)
    if path.exists():
        return _open_file(path)
    text = str(source)
    looks_local = (
        text.startswith((".", "/", "~")) or _format_of(path) or (path.parent.is_dir() and path.parent != Path())
    )
    if _HUB_ID.fullmatch(text) and not looks_local:
        return _open_hub(text, split)
    raise ConfigError(_missing(path))


def with_progress(reading: Reading, description: str) -> Iterator[tuple[str, dict[str, Any] | DataError]]:
    """The rows of a source and their places, with a progress bar where there are many."""
    if reading.total < _SHOW_PROGRESS_ABOVE[reading.unit]:
        yield from (row[:2] for row in reading.rows)
        return
    done = 0
    with progress(description, reading.total, reading.unit) as advance:
        for place, value, position in reading.rows:
            if position > done:
                advance(position - done)
                done = position
            yield place, value


def _format_of(path: Path) -> str | None:
    return next((suffix for suffix in READERS if path.name.lower().endswith(suffix)), None)


def _open_file(path: Path) -> Reading:
    suffix = _format_of(path)
    if suffix is None:
        raise ConfigError(f"{path}: the format {path.suffix or 'without extension'} is not known; known: {_FORMATS}")
    return READERS[suffix](path)


def _open_folder(path: Path, split: str) -> Reading:
    """The files of one split, in the order of their names."""
    if (path / "dataset_dict.json").exists() or (path / "state.json").exists():
        return _open_saved(path, split)
    files = sorted(file for file in path.rglob("*") if _format_of(file) and _is_of_rows(file))
    chosen = [file for file in files if _is_of_split(file.relative_to(path), split)]
    if not chosen:
        found = ", ".join(str(file.relative_to(path)) for file in files[:6]) or "none"
        raise ConfigError(f"{path}: no file of the split {split!r} in this folder\nFiles found: {found}")
    readings = [_open_file(file) for file in chosen]
    if len({reading.unit for reading in readings}) > 1:
        raise ConfigError(f"{path}: the files of the split {split!r} are of different formats")
    total = sum(reading.total for reading in readings)
    return Reading(rows=_chain(readings), total=total, unit=readings[0].unit, files=chosen)


def _is_of_rows(file: Path) -> bool:
    return not file.name.startswith(".") and not file.name.endswith(REPORT_ENDING)


def _is_of_split(file: Path, split: str) -> bool:
    """`train.jsonl`, `train-00000-of-00002.parquet`, `train/part.jsonl`."""
    return split in file.parts[:-1] or re.match(rf"{re.escape(split)}(?![a-zA-Z0-9])", file.name) is not None


def _chain(readings: Iterable[Reading]) -> Iterator[RawRow]:
    before = 0
    for reading in readings:
        for row in reading.rows:
            yield row._replace(position=before + row.position)
        before += reading.total


def _open_saved(path: Path, split: str) -> Reading:
    import datasets

    saved = datasets.load_from_disk(path)
    if isinstance(saved, datasets.DatasetDict):
        if split not in saved:
            raise ConfigError(f"{path}: no split {split!r}; splits: {', '.join(map(str, saved))}")
        saved = saved[split]
    return _read_dataset(saved, str(path))


def _open_hub(name: str, split: str) -> Reading:
    import datasets
    from datasets.exceptions import DatasetsError

    parts = _HUB_ID.fullmatch(name)
    assert parts is not None  # the caller has looked
    owner_and_name, subset, folder = parts.groups()
    try:
        loaded = datasets.load_dataset(owner_and_name, subset, data_dir=folder, split=split)
    except (OSError, ValueError, DatasetsError) as error:
        reason = str(error).strip().partition("\n")[0]
        raise ConfigError(
            f"cannot load {name!r}, split {split!r}, from the Hugging Face hub: {reason}\n"
            f"Give a file instead ({_FORMATS}), for example one downloaded where there is a network."
        ) from error
    return _read_dataset(loaded, f"{name}[{split}]")


def _read_dataset(dataset: Any, name: str) -> Reading:
    rows = (RawRow(f"{name}:row {number}", value, number) for number, value in enumerate(dataset, 1))
    files = [Path(file["filename"]) for file in dataset.cache_files]
    return Reading(rows=rows, total=len(dataset), unit="rows", files=files)


def _missing(path: Path) -> str:
    folder = path.parent if path.parent.is_dir() else Path()
    near = get_close_matches(path.name, sorted(file.name for file in folder.iterdir()), n=1, cutoff=0.5)
    hint = f"\nNearest existing: {folder / near[0]}" if near else ""
    return f"{path}: no such file or folder{hint}"
