"""What rows are about: their tags, and columns of short values such as topic and difficulty."""

from collections.abc import Iterator, Mapping
from typing import Any

_LONGEST = 80
_CATEGORIES = ("topic", "task", "category", "domain", "difficulty", "quality", "persona", "language", "finish_reason")


def tag_names(raw: Mapping[str, Any]) -> Iterator[str]:
    """The tags of a row as they stand, from its column `tags`: strings, or objects with `tag` as InsTag writes them.

    >>> list(tag_names({"tags": ["math", {"tag": "proof"}, 3]}))
    ['math', 'proof']
    """
    given = raw.get("tags")
    for item in given if isinstance(given, list) else ():
        name = item.get("tag") if isinstance(item, Mapping) else item
        if isinstance(name, str):
            yield name


def categories_of(raw: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """The column and the value of all that sorts a row: its tags, and short values at the top or in `meta`."""
    meta = raw.get("meta")
    for owner in (raw, meta) if isinstance(meta, Mapping) else (raw,):
        for name in _CATEGORIES:
            if isinstance(owner.get(name), str | int) and owner[name] != "":
                yield name, cut_label(str(owner[name]))
    yield from (("tags", cut_label(name)) for name in tag_names(raw))


def cut_label(text: str) -> str:
    """A name that is short enough for a chart."""
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"
