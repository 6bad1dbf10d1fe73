"""One pass over a source that measures what its card shows."""

import heapq
import math
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, final

from lit_align.data.accounting import Accounting
from lit_align.data.categories import categories_of, cut_label
from lit_align.data.checking import Measure
from lit_align.data.guessing import guess_kind
from lit_align.data.licences import Licences, row_licences
from lit_align.data.opening import open_source, with_progress
from lit_align.data.records import Demonstration, Dropped, Kind, Preference, PromptOnly, Rating, Row, Scored, parse_row
from lit_align.data.report import Series, row_numbers
from lit_align.data.rows import HELPSTEER_ATTRIBUTES
from lit_align.data.sources import Rules
from lit_align.data.splitting import Duplicates, prompt_text, response_texts, row_key
from lit_align.errors import DataError
from lit_align.files import sha256_of_json


@final
@dataclass(kw_only=True)
class Card:
    """What is known of a set of rows.

    Attributes:
        title: Its file, folder or hub id.
        kind: What the rows are.
        counts: Rows read, kept and dropped.
        lengths: Characters or tokens, a number a row (of responses one a response), by what is measured.
        scores: Ratings, rewards, margins, by name.
        categories: How many rows have a value, by the column and the value: tags, topics, tasks.
        duplicates: Kept rows that repeat an earlier one.
        licences: Their union.
        lineage: How many rows name a value, by what it names: generators, templates, data sets.
        parents: Kept rows that name the rows they were made of.
        examples: Some rows, as they stand, with their places.
        account: What an earlier cleaning left beside the file, or None.
    """

    title: str
    kind: Kind
    counts: Accounting = field(default_factory=Accounting)
    lengths: Series = field(default_factory=Series)
    scores: Series = field(default_factory=Series)
    categories: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    duplicates: Duplicates = field(default_factory=Duplicates)
    licences: Licences = field(default_factory=Licences)
    lineage: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    parents: int = 0
    examples: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    account: Mapping[str, Any] | None = None


def measure(
    source: str | Path,
    *,
    kind: Kind | None = None,
    split: str = "train",
    licence: str | None = None,
    tokens: Measure | None = None,
    num_examples: int = 8,
    seed: int = 0,
    account: Mapping[str, Any] | None = None,
) -> Card:
    """Reads a source once and keeps numbers, names and a few rows.

    Args:
        source: A file, a folder or a hub id.
        kind: What the rows are; told by the first one unless given.
        split: Which part of a folder or hub data set.
        licence: Of rows that name none; what the account says unless given.
        tokens: Counts the tokens of a row; see `token_counter`.
        num_examples: Rows that are shown, drawn by a hash of their content.
        seed: Of that draw.
        account: What an earlier cleaning left.

    Raises:
        DataError: The file cannot be read, or its first row is of no kind. Malformed rows are counted.
    """
    if licence is None and account is not None:
        licence = account["cleaning"]["licence"]
    card: Card | None = None
    examples = _Examples(num_examples, seed=seed)
    bad = Rules(on_bad="drop")
    for place, value in with_progress(open_source(source, split=split), "measuring"):
        if card is None:
            known = kind or guess_kind(_readable(value), place=place)
            card = Card(title=str(source), kind=known, account=account)
        card.counts.add()
        try:
            raw = _readable(value)
            row = parse_row(card.kind, raw, place)
            lengths = tokens(row)[0] if tokens is not None else {}  # the template may not take it
        except Dropped as dropped:
            card.counts.drop(dropped.reason, place=place)
            continue
        except DataError as error:
            bad.take_bad(error, place=place, counts=card.counts)
            continue
        card.lengths.add(lengths)
        _add(card, raw, row, licence=licence)
        examples.add(raw, row)
    if card is None:
        raise DataError(f"{source}: no rows")
    card.examples = examples.drawn()
    return card


@final
class _Examples:
    """The rows of the smallest ranks, which depend on the seed and their content alone."""

    def __init__(self, number: int, *, seed: int) -> None:
        self._number = number
        self._seed = seed
        self._count = 0
        self._heap: list[tuple[int, int, str, dict[str, Any]]] = []

    def add(self, raw: dict[str, Any], row: Row) -> None:
        self._count += 1
        rank = int(sha256_of_json([self._seed, row_key(row).hex()]), 16)
        push = heapq.heappush if len(self._heap) < self._number else heapq.heappushpop
        push(self._heap, (-rank, self._count, row.place, raw))  # the largest rank leaves first

    def drawn(self) -> list[tuple[str, dict[str, Any]]]:
        """Places and rows, in their order."""
        return [(place, raw) for _, _, place, raw in sorted(self._heap, key=lambda entry: entry[1])]


def _readable(value: dict[str, Any] | DataError) -> dict[str, Any]:
    if isinstance(value, DataError):
        raise value
    return value


def _add(card: Card, raw: Mapping[str, Any], row: Row, *, licence: str | None) -> None:
    for name, length in _lengths(row):
        card.lengths.add({name: length})
    for name, value in _scores(raw, row):
        card.scores.add({name: value})
    for name, label in categories_of(raw):
        card.categories[name][label] += 1
    for name, origin in _origins(raw):
        card.lineage[name][origin] += 1
    card.parents += bool(raw.get("parents"))
    card.duplicates.add(row)
    card.licences.add(row_licences(raw, default=licence), place=row.place)


def _lengths(row: Row) -> Iterator[tuple[str, float]]:
    yield "prompt characters", len(prompt_text(row))
    names = ("chosen characters", "rejected characters") if isinstance(row, Preference) else ()
    for number, text in enumerate(response_texts(row)):
        yield names[number] if names else "response characters", len(text)
    turns = row.messages if isinstance(row, Demonstration) else row.prompt
    if turns:
        yield "turns", len(turns) + (not isinstance(row, Demonstration | PromptOnly))


def _scores(raw: Mapping[str, Any], row: Row) -> Iterator[tuple[str, float]]:
    if not isinstance(row, Demonstration | PromptOnly):
        yield from row_numbers(row).items()
    if isinstance(row, Scored):
        yield from (("reward", reward) for reward in row.rewards)
    if isinstance(row, Preference):
        for side, reward, ratings in (
            ("chosen", row.chosen_reward, row.chosen_ratings),
            ("rejected", row.rejected_reward, row.rejected_ratings),
        ):
            yield from ((f"{side} {name}", value) for name, value in ratings.items())
            yield from () if reward is None else [(f"{side} reward", reward)]
    for name in () if isinstance(row, Rating) else ("reward", *HELPSTEER_ATTRIBUTES):
        value = raw.get(name)
        if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
            yield name, value


def _origins(raw: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    generator = raw.get("generator")
    model = generator.get("model") if isinstance(generator, Mapping) else None
    if isinstance(model, Mapping):
        yield "generator", f"{model.get('name')} {str(model.get('fingerprint') or '')[:8]}".strip()
    elif isinstance(generator, str) or isinstance(model, str):
        yield "generator", cut_label(str(model or generator))
    if isinstance(raw.get("template"), str):
        yield "template", cut_label(raw["template"])
    source = raw.get("source")
    dataset = source.get("dataset") if isinstance(source, Mapping) else source
    if isinstance(dataset, str):
        yield "data set", cut_label(dataset)
