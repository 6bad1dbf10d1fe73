"""Reading and writing files so that a crash leaves either the old content or the new, never half of it."""

import ctypes
import gzip
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any


@contextmanager
def atomic_write(path: str | Path, mode: str = "w") -> Iterator[IO[Any]]:
    """Opens a temporary file beside `path` and renames it into place when the block ends without an error."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
    try:
        with os.fdopen(handle, mode, encoding=None if "b" in mode else "utf-8") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.chmod(name, 0o666 & ~_umask())
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def put_in_place(building: Path, folder: Path) -> None:
    """Gives a finished folder its name, in place of one that may be there.

    Whenever a crash comes, the name belongs to a whole folder, the old or the new one. (Where the system cannot
    exchange two names at once there is a moment between two renames, and `.NAME.old` is the old one.) What had the name
    may also be a file or a link.
    """
    for file in building.rglob("*"):
        if file.is_file():
            with open(file, "rb") as opened:
                os.fsync(opened.fileno())
    if not os.path.lexists(folder):
        os.rename(building, folder)
        return
    if not _exchange(building, folder):
        old = folder.with_name(f".{folder.name}.old")
        remove(old)
        os.rename(folder, old)
        os.rename(building, folder)
        building = old
    remove(building)


def remove(path: Path) -> None:
    """Removes a file, a link or a folder, if there is one."""
    if path.is_symlink() or path.is_file():
        path.unlink()
    elif path.exists():
        shutil.rmtree(path)


def write_json(path: str | Path, value: Any) -> None:
    """Writes `value` as indented JSON, atomically. NaN is refused: JSON has none."""
    text = json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False)
    with atomic_write(path) as file:
        file.write(text + "\n")


def write_jsonl(path: str | Path, rows: Iterable[dict[str, Any]]) -> int:
    """Writes one JSON object a line (gzip when the name ends in `.gz`), atomically. Returns the number of rows."""
    number = 0
    with atomic_write(path, "wb") as file:
        # mtime=0 keeps the bytes of a compressed file a function of its rows alone.
        out = gzip.GzipFile(fileobj=file, mode="wb", mtime=0) if str(path).endswith(".gz") else file
        for row in rows:
            out.write(json.dumps(row, ensure_ascii=False, allow_nan=False).encode() + b"\n")
            number += 1
        if out is not file:
            out.close()
    return number


def cache_folder(name: str, cache_dir: str | None) -> Path:
    """Where things are kept between runs: in `cache_dir`, else `$LIT_ALIGN_CACHE`, else `~/.cache/lit-align`."""
    return Path(cache_dir or os.environ.get("LIT_ALIGN_CACHE") or Path.home() / ".cache" / "lit-align") / name


def sha256_of_file(path: str | Path) -> str:
    """The hexadecimal sha256 of a file's bytes, read in blocks."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sha256_of_json(value: Any) -> str:
    """The hexadecimal sha256 of a value's canonical JSON (sorted keys, no spaces)."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


def _exchange(one: Path, other: Path) -> bool:
    """Exchanges two names at once, where the system can (Linux)."""
    rename = getattr(ctypes.CDLL(None), "renameat2", None)
    at_working_directory, exchange = -100, 2
    return (
        rename is not None
        and rename(at_working_directory, os.fsencode(one), at_working_directory, os.fsencode(other), exchange) == 0
    )


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
