"""Tokenised rows kept on disk under what they depend on, so that a second start reads them instead of tokenising."""

import itertools
import json
import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
from filelock import FileLock

from lit_align.announce import announce
from lit_align.data import encoded_rows
from lit_align.data.accounting import Accounting
from lit_align.data.encoded_rows import ROWS_PER_BATCH, EncodedRows, full, record_batches, shortened
from lit_align.data.encoding import EncodedRow
from lit_align.data.mixing import Source
from lit_align.data.opening import open_source
from lit_align.files import cache_folder, put_in_place, sha256_of_file, sha256_of_json, write_json

_VERSION = 1  # raised when the same inputs give other rows
_WORTH_A_FILE = 4 * ROWS_PER_BATCH  # fewer rows are tokenised in a second or two
_ROWS, _ACCOUNT = "rows.arrow", "account.json"

Produce = Callable[[Accounting], Iterator[EncodedRow]]
"""Reads and tokenises rows, adding to an account as it goes."""


@dataclass(frozen=True, kw_only=True)
class Encoded:
    """Tokenised rows and the account of those that were dropped on the way."""

    rows: EncodedRows
    counts: Accounting


def cached_rows(
    produce: Produce, *, sources: Sequence[Source], depends_on: dict[str, Any], what: str, cache_dir: str | None
) -> Encoded:
    """The rows that `produce` makes, read from disk where they were made before.

    Rows are written as they are made, so memory does not grow with their number; those of small sources stay in memory.
    Of several processes one makes them and the others wait.

    Args:
        produce: Makes the rows.
        sources: Where they come from; the content of files counts, not their place.
        depends_on: Everything else that decides them, as JSON.
        what: The rows, in words.
        cache_dir: See `AlignmentData`.
    """
    prefixes = [str(Path(source.path).expanduser()) for source in sources]
    folder = cache_folder("rows", cache_dir) / _key(sources, depends_on)[:32]
    if (found := _read(folder, prefixes)) is not None:
        announce(f"{what}: {len(found.rows):,} tokenised rows from {folder} ({_megabytes(folder)})")
        return found
    if folder.exists():
        announce(f"{folder}: the tokenised rows are damaged; they are made again")
    counts = Accounting()
    batches = record_batches(produce(counts), prefixes=prefixes)
    first = list(itertools.islice(batches, _WORTH_A_FILE // ROWS_PER_BATCH))
    if sum(batch.num_rows for batch in first) < _WORTH_A_FILE:
        return Encoded(rows=EncodedRows(first, prefixes=prefixes), counts=counts)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(folder.with_suffix(".lock")):
        if (found := _read(folder, prefixes)) is not None:
            return found  # another process was faster
        _write(folder, itertools.chain(first, batches), counts, prefixes)
        announce(f"{what}: tokenised rows are kept in {folder} ({_megabytes(folder)})")
    return Encoded(rows=EncodedRows(encoded_rows.read(folder / _ROWS), prefixes=prefixes), counts=counts)


def _key(sources: Sequence[Source], depends_on: dict[str, Any]) -> str:
    """What decides the rows; the place of a file does not."""
    parts = [{**vars(source), "path": None, "content": content_of(source)} for source in sources]
    return sha256_of_json({"version": _VERSION, "sources": parts, **depends_on})


def content_of(source: Source) -> list[str]:
    """The sha256 of each file of a source, in the order in which they are read."""
    return [sha256_of_file(file) for file in open_source(source.path, split=source.split).files]


def _write(folder: Path, batches: Iterator[pa.RecordBatch], counts: Accounting, prefixes: Sequence[str]) -> None:
    building = folder.with_suffix(".tmp")
    shutil.rmtree(building, ignore_errors=True)
    building.mkdir()
    encoded_rows.write(building / _ROWS, batches)
    account = {
        "sha256": sha256_of_file(building / _ROWS),
        "read": counts.read,
        "kept": counts.kept,
        "dropped": dict(counts.dropped),
        "first_places": {reason: shortened(place, prefixes) for reason, place in counts.first_places.items()},
        "first_details": counts.first_details,
    }
    write_json(building / _ACCOUNT, account)
    put_in_place(building, folder)


def _read(folder: Path, prefixes: Sequence[str]) -> Encoded | None:
    """What a folder holds; None where there is none, or where it is damaged."""
    try:
        account = json.loads((folder / _ACCOUNT).read_text(encoding="utf-8"))
        if account["sha256"] != sha256_of_file(folder / _ROWS):
            return None
    except (OSError, ValueError, KeyError):
        return None
    rows = EncodedRows(encoded_rows.read(folder / _ROWS), prefixes=prefixes)
    counts = Accounting(
        read=account["read"],
        kept=account["kept"],
        dropped=Counter(account["dropped"]),
        first_places={reason: full(place, prefixes) for reason, place in account["first_places"].items()},
        first_details=account["first_details"],
    )
    return Encoded(rows=rows, counts=counts)


def _megabytes(folder: Path) -> str:
    return f"{sum(file.stat().st_size for file in folder.iterdir()) / 1e6:.1f} MB"
