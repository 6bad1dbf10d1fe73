"""Sampling by tags: the most complex rows first, and every pass over them adds tags that it has not taken yet."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from lit_align.data.categories import tag_names
from lit_align.synthesis.hygiene.tag_names import normalised_tag


def row_tags(raw: Mapping[str, Any]) -> tuple[str, ...]:
    """The normalised tags of a row, from its column `tags`."""
    return tuple(dict.fromkeys(tag for name in tag_names(raw) if (tag := normalised_tag(name))))


def diverse_sample(tags: Sequence[Sequence[str]], number: int, *, ranks: Sequence[float]) -> list[int]:
    """Draws rows for complexity and diversity, as InsTag does (arXiv:2308.07074, algorithm 1).

    A row is the more complex the more tags it has. In each pass, from the most complex row on, a row is taken if it has
    a tag that no row of the pass has had; passes go on until there are enough rows. Rows without tags are never taken,
    so fewer than `number` can come back.

    >>> diverse_sample([["math"], ["math", "proof"], ["poem"], []], 2, ranks=[0, 0, 0, 0])
    [1, 2]

    Args:
        tags: Of each row.
        number: Most rows.
        ranks: Orders rows with equally many tags.

    Returns:
        Positions, in the order of the rows.
    """
    waiting = _by_tags(tags, ranks)
    taken: list[int] = []
    while waiting and len(taken) < number:
        taken += _pass(waiting, number - len(taken))
        waiting = {names: rows for names, rows in waiting.items() if rows}
    return sorted(taken)


def _by_tags(tags: Sequence[Sequence[str]], ranks: Sequence[float]) -> dict[frozenset[str], list[int]]:
    """The rows of each set of tags, the next one last; sets in the order in which a pass looks at them."""
    order = sorted(range(len(tags)), key=lambda row: (-len(set(tags[row])), ranks[row], row))
    groups: dict[frozenset[str], list[int]] = {}
    for row in order:
        if tags[row]:
            groups.setdefault(frozenset(tags[row]), []).append(row)
    for rows in groups.values():
        rows.reverse()
    return groups


def _pass(waiting: Mapping[frozenset[str], list[int]], number: int) -> Iterator[int]:
    """Takes at most one row of each set: a second one could add no tag."""
    covered: set[str] = set()
    for names, rows in waiting.items():
        if number and not names <= covered:
            covered |= names
            number -= 1
            yield rows.pop()
