"""One pass over a source that finds what training would meet: kept and dropped rows, ratings, lengths, repetitions."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from lit_align.data.accounting import Accounting
from lit_align.data.records import Conversation, Dropped, PromptOnly, Row
from lit_align.data.report import Series, Spread, row_numbers, token_numbers
from lit_align.data.sources import Rules, iter_rows
from lit_align.data.splitting import Duplicates, Leak, prompt_key

Measure = Callable[[Row], Mapping[str, float]]


@dataclass(frozen=True, kw_only=True)
class Findings:
    """What a pass over a source found; `leaks` is None where no held-out rows were given."""

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
        measure: Gives the token counts of a row, or raises Dropped; see `token_counter`.
        held_out: Prompts that must not occur, and where they stand; see `held_out_prompts`.

    Raises:
        DataError: A row is malformed, and the rules make that an error.
    """
    counts, numbers, tokens, duplicates = Accounting(), Series(), Series(), Duplicates()
    leaks: list[Leak] = []
    for row in iter_rows(source, kind, counts=counts, rules=rules, split=split):
        try:
            tokens.add(measure(row) if measure else {})
        except Dropped as dropped:
            counts.drop(dropped.reason, place=row.place)
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

    def prompt_tokens(prompt: Conversation) -> Mapping[str, float]:
        number = len(chat.encode_prompt(prompt))
        if max_length is not None and number >= max_length:
            raise Dropped("prompt_too_long")
        return {"prompt tokens": float(number)}

    def measure(row: Row) -> Mapping[str, float]:
        if isinstance(row, PromptOnly):
            return prompt_tokens(row.prompt)
        return token_numbers(encode(row, chat, max_length=max_length))

    return measure
