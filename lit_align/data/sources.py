"""Rows from files, folders and the Hugging Face hub: raw, or validated with an account of what was dropped."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from lit_align.data.accounting import Accounting, explain
from lit_align.data.opening import open_source, with_progress
from lit_align.data.records import Dropped, PromptOnly, Row, parse_row
from lit_align.errors import ConfigError, DataError

OnBad = Literal["error", "drop"]


def read_raw(source: str | Path, *, split: str = "train") -> Iterator[tuple[str, dict[str, Any]]]:
    """Yields `("file:line", row)` of a file, a folder or a hub data set, one row at a time.

    Args:
        source: A `.jsonl`, `.jsonl.gz`, `.json` or `.parquet` file; a folder of such files, or one that
            `datasets` saved; or a hub id, `owner/name` or `owner/name:subset`.
        split: Which part of a folder or hub data set.

    Raises:
        ConfigError: The source does not exist or its format is not known.
        DataError: A row or the file is malformed.
    """
    for place, value, _ in open_source(source, split=split).rows:
        if isinstance(value, DataError):
            raise value
        yield place, value


def read_rows(
    source: str | Path,
    kind: str,
    *,
    split: str = "train",
    attributes: Sequence[str] | None = None,
    label_range: tuple[float, float] | None = None,
    on_bad: OnBad = "error",
    max_bad_rows: int | None = None,
    drop_policy: OnBad = "drop",
) -> tuple[list[Row], Accounting]:
    """Reads and validates a whole source; `Rules` explains the options.

    Raises:
        ConfigError: The source does not exist or its format is not known.
        DataError: A row is malformed, or no row is left.
    """
    rules = Rules(
        attributes=attributes,
        label_range=label_range,
        on_bad=on_bad,
        max_bad_rows=max_bad_rows,
        drop_policy=drop_policy,
    )
    counts = Accounting()
    rows = list(iter_rows(source, kind, counts=counts, rules=rules, split=split))
    require_rows(counts, source)
    return rows, counts


def read_prompts(source: str | Path, *, split: str = "train") -> tuple[list[PromptOnly], Accounting]:
    """Reads a whole source for its prompts alone.

    Raises:
        ConfigError: The source does not exist or its format is not known.
        DataError: A row is malformed, or no row is left.
    """
    rows, counts = read_rows(source, "prompt", split=split)
    return [row for row in rows if isinstance(row, PromptOnly)], counts


@dataclass(frozen=True, kw_only=True)
class Rules:
    """What is expected of rows, and what happens to those that are bad or of no use.

    Args:
        attributes: Names of the rating columns; None takes all of `ratings`, or HelpSteer2's five columns.
        label_range: Lowest and highest rating allowed.
        on_bad: Whether a malformed row is an error or dropped as `malformed`.
        max_bad_rows: With `on_bad="drop"`, how many malformed rows are accepted; None is any number.
        drop_policy: Whether a well-formed row of no use (empty, tied, identical...) is dropped or an error.
    """

    attributes: Sequence[str] | None = None
    label_range: tuple[float, float] | None = None
    on_bad: OnBad = "error"
    max_bad_rows: int | None = None
    drop_policy: OnBad = "drop"

    def __post_init__(self) -> None:
        for name, value in (("on_bad", self.on_bad), ("drop_policy", self.drop_policy)):
            if value not in get_args(OnBad):
                raise ConfigError(f"{name} must be 'error' or 'drop', got {value!r}")

    def take_bad(self, error: DataError, *, place: str, counts: Accounting) -> None:
        """Counts a malformed row, or raises its error where the rules make it one."""
        if self.on_bad == "error" or counts.dropped["malformed"] == self.max_bad_rows:
            raise error
        detail = str(error).partition("\n")[0].removeprefix(f"{place}: ")
        counts.drop("malformed", place=place, detail=detail)


def iter_rows(
    source: str | Path,
    kind: str,
    *,
    counts: Accounting,
    rules: Rules | None = None,
    split: str = "train",
    doing: str = "reading",
) -> Iterator[Row]:
    """Yields the rows of `read_rows` one at a time, adding to `counts` as it goes; there may be none.

    Args:
        source: A file, a folder or a hub id.
        kind: What the rows are.
        counts: Takes the account.
        rules: What is expected of rows.
        split: Which part of a folder or hub data set.
        doing: What is done with the rows, for the progress bar.
    """
    rules = rules or Rules()
    for place, value in with_progress(open_source(source, split=split), f"{doing} {Path(source).name}"):
        counts.add()
        try:
            yield _validate(kind, value, place, rules)
        except Dropped as dropped:
            counts.drop(dropped.reason, place=place)
        except DataError as error:
            rules.take_bad(error, place=place, counts=counts)


def require_rows(counts: Accounting, source: str | Path) -> None:
    """Refuses a source of which nothing is left.

    Raises:
        DataError: No row was kept; the message has the most common reason.
    """
    if counts.kept == 0:
        reason = f"all {counts.read} rows were dropped; most: {counts.most_common_reason}" if counts.read else "no rows"
        raise DataError(f"{source}: {reason}")


def _validate(kind: str, value: dict[str, Any] | DataError, place: str, rules: Rules) -> Row:
    if isinstance(value, DataError):
        raise value
    try:
        return parse_row(kind, value, place, attributes=rules.attributes, label_range=rules.label_range)
    except Dropped as dropped:
        if rules.drop_policy == "drop":
            raise
        raise DataError(
            f"{place}: {dropped.reason}: {explain(dropped.reason)}\n"
            "Remove the row, or set drop_policy to drop, which counts such rows and goes on."
        ) from None
