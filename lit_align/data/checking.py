"""One pass over a source that finds what training would meet: kept and dropped rows, ratings, lengths, repetitions."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from lit_align.data.accounting import Accounting
from lit_align.data.records import Conversation, Dropped, PromptOnly, Row
from lit_align.data.report import Series, Spread, row_numbers, token_numbers
from lit_align.data.sources import Rules, iter_rows
from lit_align.data.splitting import Duplicates, Leak, prompt_key
from lit_align.errors import DataError

# The token counts of a row, and the reason it must be dropped for, if any.
Measured = tuple[Mapping[str, float], str | None]
Measure = Callable[[Row], Measured]


@dataclass(frozen=True, kw_only=True)
class Findings:
    """What a pass over a source found.

    Attributes:
        counts: Rows read, kept and dropped.
        numbers: Ratings, rewards and the like, of the kept rows.
        tokens: Lengths, of the kept rows and of those dropped for their length.
        duplicates: Kept rows that repeat an earlier one.
        leaks: Kept rows whose prompt is held out; None where no held-out rows were given.
    """

    counts: Accounting
    numbers: Mapping[str, Spread]
    tokens: Mapping[str, Spread]
    duplicates: Mapping[str, int]
    leaks: list[Leak] | None


def examine(
    source: str | Path,
    kind: str,
    *,
    rules: Rules,
    split: str = "train",
    measure: Measure | None = None,
    held_out: Mapping[bytes, str] | None = None,
) -> Findings:
    """Reads a source once, row by row, and keeps numbers only.

    Args:
        source: A file, a folder or a hub id.
        kind: What the rows are.
        rules: What is expected of them.
        split: Which part of a folder or hub data set.
        measure: Counts the tokens of a row; see `token_counter`.
        held_out: Prompts that must not occur, and where they stand; see `held_out_prompts`.

    Raises:
        DataError: A row is malformed, and the rules make that an error.
    """
    counts, numbers, tokens, duplicates = Accounting(), Series(), Series(), Duplicates()
    leaks: list[Leak] = []
    for row in iter_rows(source, kind, counts=counts, rules=rules, split=split):
        try:
            lengths, reason = measure(row) if measure else ({}, None)
        except DataError as error:  # the template cannot take it
            located = error if str(error).startswith(row.place) else DataError(f"{row.place}: {error}")
            rules.take_bad(located, place=row.place, counts=counts)
            continue
        tokens.add(lengths)
        if reason is not None:
            counts.drop(reason, place=row.place)
            continue
        numbers.add(row_numbers(row))
        duplicates.add(row)
        leaked = (held_out or {}).get(prompt_key(row))
        if leaked is not None:
            leaks.append(Leak(train_place=row.place, validation_place=leaked))
    return Findings(
        counts=counts,
        numbers=numbers.spreads(),
        tokens=tokens.spreads(),
        duplicates=duplicates.counts(),
        leaks=None if held_out is None else leaks,
    )


def held_out_prompts(source: str | Path, kind: str, *, rules: Rules, split: str) -> dict[bytes, str]:
    """The normalised prompts of a source, as keys, and where each first stands."""
    places: dict[bytes, str] = {}
    for row in iter_rows(source, kind, counts=Accounting(), rules=rules, split=split):
        places.setdefault(prompt_key(row), row.place)
    return places


def token_counter(tokenizer: str, *, template: str, max_length: int | None) -> Measure:
    """A function that tokenises a row as training would and returns its lengths.

    Args:
        tokenizer: Folder, hub id or SentencePiece `.model` file.
        template: As `ChatFormat` takes it.
        max_length: Most tokens of a prompt and one response together.
    """
    from lit_align.data.chat import ChatFormat
    from lit_align.data.encoding import encode
    from lit_align.models.tokenizer import load_tokenizer

    chat = ChatFormat(load_tokenizer(tokenizer), template=template)

    def measure_prompt(prompt: Conversation) -> Measured:
        number = float(len(chat.encode_prompt(prompt)))
        too_long = max_length is not None and number >= max_length
        return {"prompt tokens": number}, "prompt_too_long" if too_long else None

    def measure(row: Row) -> Measured:
        if isinstance(row, PromptOnly):
            return measure_prompt(row.prompt)
        try:
            return token_numbers(encode(row, chat, max_length=max_length)), None
        except Dropped as dropped:
            too_long = dropped.reason in ("too_long", "prompt_too_long")
            return token_numbers(encode(row, chat)) if too_long else {}, dropped.reason

    return measure
