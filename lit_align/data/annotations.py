"""Pairs that people judged, by votes or by ratings of both responses, as preference rows."""

import itertools
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from lit_align.data.accounting import Accounting
from lit_align.data.formats import prompt_columns
from lit_align.data.opening import open_source, with_progress
from lit_align.data.records import (
    HELPSTEER_ATTRIBUTES,
    Conversation,
    Dropped,
    Preference,
    PromptOnly,
    Rating,
    parse_row,
)
from lit_align.data.sources import Rules
from lit_align.data.turns import response
from lit_align.data.votes import aggregate, found_columns, valid_votes
from lit_align.errors import DataError

Evidence = Literal["annotations", "ratings"]
_SIDES = ("response_1", "response_2")
_Placed = tuple[str, dict[str, Any] | DataError]


@dataclass(kw_only=True)
class Derived:
    """Preferences, and what became of the pairs they were derived from.

    Attributes:
        rows: The preferences.
        counts: Pairs read, kept and dropped.
        published: How often the strength is the `same` as the column `preference_strength`, where a row has one and the
            annotators agree, and how often it is `different`.
    """

    rows: list[Preference] = field(default_factory=list)
    counts: Accounting = field(default_factory=Accounting)
    published: Counter[str] = field(default_factory=Counter)


def derive_preferences(
    source: str | Path,
    *,
    by: Evidence = "annotations",
    attribute: str = "helpfulness",
    rules: Rules | None = None,
    split: str = "train",
    only: str | None = None,
) -> Derived:
    """Reads pairs of responses and decides, pair by pair, which response is better and by how much.

    By `annotations` a row is a pair: `prompt`, `response_1`, `response_2` and the votes, in `annotations` (a list of
    numbers) or `all_preferences_unprocessed` (objects with `strength`); null and -100 are no vote. By `ratings` a row
    is one rated response, and neighbouring rows with one prompt are the pairs; strength is the difference in
    `attribute` (as in HelpSteer2's DPO, arXiv:2406.08673), and the ratings of both are kept.

    Args:
        source: As for `read_raw`.
        by: What decides.
        attribute: The rating that is compared.
        rules: What happens to malformed rows; `drop_policy` is not looked at, as dropping is what this is for.
        split: Which part of a folder or hub data set.
        only: Reads only the rows whose column `split` has this value.

    Raises:
        DataError: A row is malformed, and the rules make that an error.
    """
    rules = rules or Rules()
    found = Derived()
    rows = with_progress(open_source(source, split=split), f"reading {Path(source).name}")
    chosen = (row for row in rows if only is None or _is_of(row, only))
    for candidate in ([row] for row in chosen) if by == "annotations" else _neighbours(chosen):
        place = candidate[0][0]
        found.counts.add()
        try:
            if by == "annotations":
                found.rows.append(_from_votes(candidate[0], found.published))
            else:
                found.rows.append(_from_ratings(candidate, attribute))
        except Dropped as dropped:
            found.counts.drop(dropped.reason, place=place)
        except DataError as error:
            rules.take_bad(error, place=place, counts=found.counts)
    return found


def _is_of(row: _Placed, split: str) -> bool:
    place, value = row
    if isinstance(value, DataError):
        return True
    if "split" not in value:
        raise DataError(f"{place}: no column `split`, and only rows of {split!r} are asked for")
    return value["split"] == split


def _from_votes(row: _Placed, published: Counter[str]) -> Preference:
    place, value = row
    if isinstance(value, DataError):
        raise value
    votes = valid_votes(value, place)
    if missing := [column for column in _SIDES if column not in value]:
        raise DataError(f"{place}: an annotated pair needs the column `{missing[0]}`; found: {found_columns(value)}")
    prompt = _prompt(value, place)
    texts = [response(value[column], key=column, place=place) for column in _SIDES]
    if texts[0].strip() == texts[1].strip():
        raise Dropped("identical_responses")
    strength = aggregate(votes)
    if value.get("preference_strength") is not None:
        published["same" if value["preference_strength"] == strength else "different"] += 1
    if strength == 0:
        raise Dropped("tie")
    return _preference(prompt, texts, strength, place)


def _neighbours(rows: Iterable[_Placed]) -> Iterator[list[_Placed]]:
    """Every two rows of a run of rows with one prompt; a row that stands alone by itself."""
    for _, run in itertools.groupby(rows, key=_raw_prompt):
        members = list(run)
        yield from map(list, itertools.combinations(members, 2)) if len(members) > 1 else [members]


def _raw_prompt(row: _Placed) -> Any:
    place, value = row
    return place if isinstance(value, DataError) else [value.get(column) for column in prompt_columns(value)] or place


def _from_ratings(rows: Sequence[_Placed], attribute: str) -> Preference:
    rated = [_rating(place, value, attribute) for place, value in rows]
    if len(rated) < 2:
        raise Dropped("unpaired")
    first, second = rated
    if first.response.strip() == second.response.strip():
        raise Dropped("identical_responses")
    if not all(attribute in row.ratings for row in rated):
        raise Dropped("no_labels")
    strength = second.ratings[attribute] - first.ratings[attribute]
    if strength == 0:
        raise Dropped("tie")
    found = _preference(first.prompt, [first.response, second.response], strength, first.place)
    chosen, rejected = rated if strength < 0 else reversed(rated)
    return replace(found, chosen_ratings=chosen.ratings, rejected_ratings=rejected.ratings)


def _rating(place: str, value: dict[str, Any] | DataError, attribute: str) -> Rating:
    if isinstance(value, DataError):
        raise value
    in_mapping = isinstance(value.get("ratings"), Mapping)
    if attribute not in value and not in_mapping:
        raise DataError(f"{place}: no column `{attribute}` to compare; found: {found_columns(value)}")
    all_of_them = in_mapping or attribute in HELPSTEER_ATTRIBUTES
    row = parse_row("rating", value, place, attributes=None if all_of_them else [attribute])
    assert isinstance(row, Rating)
    return row


def _prompt(value: Mapping[str, Any], place: str) -> Conversation:
    columns = prompt_columns(value) or ("prompt",)
    if columns[0] not in value:
        raise DataError(f"{place}: the prompt is missing; found: {found_columns(value)}")
    row = parse_row("prompt", {column: value.get(column) for column in columns}, place)
    assert isinstance(row, PromptOnly)
    return row.prompt


def _preference(prompt: Conversation, texts: Sequence[str], strength: float, place: str) -> Preference:
    chosen, rejected = texts if strength < 0 else reversed(texts)
    return Preference(prompt=prompt, chosen=chosen, rejected=rejected, strength=abs(strength), place=place)
