"""`lit-align data card`: a page about a data set."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lit_align.commands.output import check_output
from lit_align.data.opening import REPORT_ENDING
from lit_align.data.rows import Kind
from lit_align.errors import ConfigError, DataError
from lit_align.files import atomic_write


def card(
    file: str,
    /,
    *,
    output: Path,
    kind: Kind | None = None,
    split: str = "train",
    tokenizer: str | None = None,
    template: str = "tokenizer",
    licence: str | None = None,
    examples: int = 8,
    seed: int = 0,
) -> None:
    """Writes one HTML page about a data set, which needs nothing else and runs nothing.

    It shows how many rows are used and dropped and why, lengths, ratings and rewards, how often the chosen response is
    the longer one, topics and tags, repeated rows, generators and templates, the union of licences, and examples. An
    account that `lit-align data clean` left beside the file is shown too.

    Args:
        file: A .jsonl, .jsonl.gz, .json or .parquet file, a folder of such files, or a hub id.
        output: The page, .html.
        kind: What the rows are; told by the columns of the first one unless given.
        split: Which part of a folder or hub data set.
        tokenizer: Folder, hub id or SentencePiece .model file; with it lengths are also counted in tokens.
        template: The tokenizer's own chat template, raw, the name of a built-in template, or a .jinja file.
        licence: Licence of rows that name none.
        examples: How many rows are shown, drawn by a hash of their content.
        seed: Of that draw.
    """
    from lit_align.data.card import measure, render
    from lit_align.data.checking import token_counter

    check_output(output, file, endings=(".html",))
    if examples < 0:
        raise ConfigError(f"examples must not be negative, got {examples}")
    tokens = None if tokenizer is None else token_counter(tokenizer, template=template, max_length=None)
    measured = measure(
        file,
        kind=kind,
        split=split,
        licence=licence,
        tokens=tokens,
        num_examples=examples,
        seed=seed,
        account=_account(Path(file)),
    )
    with atomic_write(output) as page:
        page.write(render(measured))
    print(f"{output}: {measured.counts.kept:,} of {measured.counts.read:,} rows")


def _account(file: Path) -> Mapping[str, Any] | None:
    """What `lit-align data clean` left beside the file."""
    path = file.with_name(file.name + REPORT_ENDING) if file.name else file
    if not path.is_file():
        return None
    try:
        account = json.loads(path.read_text(encoding="utf-8"))
        missing = {"source", "read", "kept", "dropped", "rewritten", "contamination", "cleaning"} - account.keys()
    except (ValueError, AttributeError) as error:
        raise DataError(f"{path}: not an account of `lit-align data clean`: {error}\nRemove it.") from error
    if missing:
        raise DataError(f"{path}: not an account of `lit-align data clean`: {min(missing)} is missing\nRemove it.")
    return account
