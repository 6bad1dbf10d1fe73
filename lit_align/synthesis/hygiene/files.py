"""Cleaning of files: read, decide, write what stays, and leave an account beside it."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from lit_align.data.opening import REPORT_ENDING, open_source, with_progress
from lit_align.data.records import Kind
from lit_align.data.sources import Rules, require_rows
from lit_align.files import write_json, write_jsonl
from lit_align.synthesis.hygiene.cleaning import Cleaner, Placed
from lit_align.synthesis.hygiene.contamination import read_evaluation
from lit_align.synthesis.hygiene.embedding import Embedder
from lit_align.synthesis.hygiene.settings import Cleaning


@dataclass(frozen=True, kw_only=True)
class Surroundings:
    """What rows are compared with: evaluation sets, and earlier files, such as those of earlier iterations.

    Args:
        evaluations: Files, folders or hub ids.
        evaluation_split: Which part of a folder or hub data set.
        earlier: Files, folders or hub ids of rows of the same kind.
    """

    evaluations: Sequence[str | Path] = ()
    evaluation_split: str = "test"
    earlier: Sequence[str | Path] = ()


def clean_file(
    source: str | Path,
    output: Path,
    *,
    cleaning: Cleaning,
    kind: Kind | None = None,
    split: str = "train",
    surroundings: Surroundings | None = None,
    embedder: Embedder | None = None,
    bad: Rules | None = None,
    dropped: Path | None = None,
) -> tuple[Cleaner, dict[str, Any]]:
    """Writes the rows that stay to `output`, the others to `dropped`, and an account to `OUTPUT.report.json`.

    Nothing is written before all is decided, and each file is whole or not there.

    Args:
        source: A file, a folder or a hub id.
        output: A .jsonl or .jsonl.gz file.
        cleaning: What is done.
        kind: What the rows are; told by the first one unless given.
        split: Which part of a folder or hub data set.
        surroundings: What the rows are compared with.
        embedder: Finds semantic duplicates.
        bad: What happens to malformed rows.
        dropped: A .jsonl or .jsonl.gz file, or None.

    Returns:
        The cleaner with what it found, and the account.

    Raises:
        DataError: A row is malformed, holds an evaluation prompt, or may not be published, where that is an error; or
            no row is left.
    """
    around = surroundings or Surroundings()
    evaluations = [
        read_evaluation(evaluation, split=around.evaluation_split, overlap=cleaning.overlap)
        for evaluation in around.evaluations
    ]
    cleaner = Cleaner(cleaning, kind=kind, evaluations=evaluations, embedder=embedder, bad=bad)
    for path in around.earlier:
        cleaner.take_earlier(_rows(path, split, "reading"))
    cleaner.take(_rows(source, split, "reading"))
    require_rows(cleaner.counts, source)
    write_jsonl(output, cleaner.kept(_rows(source, split, "writing")))
    if dropped is not None:
        write_jsonl(dropped, cleaner.dropped(_rows(source, split, "writing the dropped rows of")))
    account = _account(cleaner, source, around)
    write_json(report_path(output), account)
    return cleaner, account


def report_path(rows: Path) -> Path:
    """Where the account of a file of rows lies."""
    return rows.with_name(rows.name + REPORT_ENDING)


def _rows(source: str | Path, split: str, what: str) -> Iterator[Placed]:
    return with_progress(open_source(source, split=split), f"{what} {Path(source).name}")


def _account(cleaner: Cleaner, source: str | Path, around: Surroundings) -> dict[str, Any]:
    return {
        "source": str(source),
        "kind": cleaner.kind,
        **cleaner.counts.to_dict(),
        "first_places": cleaner.counts.first_places,
        "rewritten": dict(cleaner.rewritten),
        "clusters": cleaner.clusters,
        "contamination": cleaner.contamination.to_dict(),
        "licences": cleaner.licences.to_dict(),
        "earlier": [str(path) for path in around.earlier],
        "cleaning": asdict(cleaner.cleaning),
    }
