"""Lists as models write them: numbered, bulleted, JSON, or separated by commas."""

import json
import re
import textwrap
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

_MARKER = re.compile(
    r"(?P<indent>[ \t]*)(?:#{1,6}[ \t]+)?(?P<bold>\*\*)?"
    r"(?:(?P<number>\(?\d{1,4}[.):](?=\D|$))|(?P<bullet>[-+•‣◦\u2013](?!-)|\*(?!\*))|(?P<letter>\(?[a-zA-Z][.)](?=\s)))"
    r"(?P<rest>.*)"
)
_FENCE = re.compile(r"\s*(?:```|~~~)[^`]*")
_HEADING = re.compile(r"#{1,6} .*|\*\*[^*\n]+\*\*:?|[^\n]*:|[-*_]{3,}")
_HEADLINE = re.compile(r"\*\*(?P<title>.+?)\*\*")
_CODE_OR_BOLD = re.compile(r"(```.*?```|`[^`\n]+`)|\*\*(.+?)\*\*", re.DOTALL)
_QUOTES = {'"': '"', "'": "'", "“": "”", "‘": "’", "`": "`", "«": "»"}  # noqa: RUF001 - quotes that models write
_JSON_STRING = re.compile(r'"(?:[^"\\\n]|\\.)*"')
_LONGEST_OF_COMMA_LIST = 60
_LEAST_OF_COMMA_LIST = 3
_TAB = 4


@dataclass(kw_only=True)
class ParsedList:
    """What a response holds of a list.

    Attributes:
        entries: In their order, cleaned of markers and emphasis.
        nested: Entries of inner lists that were left out.
    """

    entries: list[str] = field(default_factory=list)
    nested: list[str] = field(default_factory=list)


@dataclass(kw_only=True)
class _Entry:
    """An entry while its lines are read.

    Attributes:
        indent: Of its marker.
        style: Of its marker.
        lines: What it begins with.
        inner: Its inner list, and what follows that.
        nested: The entries of inner lists alone, wherever they stand.
        later: Paragraphs at the margin, which may belong to it.
    """

    indent: int
    style: str
    lines: list[str]
    inner: list[str] = field(default_factory=list)
    nested: list[str] = field(default_factory=list)
    later: list[str] = field(default_factory=list)


def parse_list(text: str, *, titles: bool = False) -> ParsedList:
    r"""The entries of the list in a response; text before and after it is left out.

    A line that follows an entry at once, or is indented, belongs to it; so do paragraphs up to the next entry, and
    fenced blocks as they are. Of titles only the first lines count, and entries of an inner list are left out. Where
    there is no list there are no entries.

    >>> parse_list("Sure:\n1. **Algebra**: of symbols\n2. Logic\n\nAnything else?", titles=True).entries
    ['Algebra', 'Logic']

    Args:
        text: The response.
        titles: Whether entries are names, of which a bold beginning is all that counts. Only then are words between
            commas a list.
    """
    parsed = ParsedList()
    entries = _marked(text)
    for body in ("\n".join(entry.lines) for entry in entries) if titles else _texts(entries):
        if cleaned := _clean(body, titles=titles):
            parsed.entries.append(cleaned)
    if titles:
        parsed.nested = [inner for entry in entries for inner in entry.nested]
    if not parsed.entries:
        found = _json(text) or (_commas(text) if titles else [])
        parsed.entries = [cleaned for entry in found if (cleaned := _clean(entry, titles=titles))]
    return parsed


def _marked(text: str) -> list[_Entry]:
    """The entries of the first level of a list with markers."""
    entries: list[_Entry] = []
    after_blank = False
    for piece, is_block in _pieces(text.expandtabs(_TAB).splitlines()):
        match = None if is_block else _MARKER.match(piece)
        if match is None or not (match["rest"].strip() or match["number"]):
            if entries and piece.strip():
                _continue(entries[-1], piece, after_blank=after_blank, is_block=is_block)
            after_blank = not piece.strip()
            continue
        indent, style = len(match["indent"]), _style(match)
        body = (match["bold"] or "") + match["rest"].strip()
        if entries and (indent > entries[-1].indent or style != entries[-1].style):
            _nest(entries[-1], body if style == "bullet" else piece.strip())
        else:
            entries.append(_Entry(indent=indent, style=style, lines=[body]))
        after_blank = False
    return entries


def _pieces(lines: Iterable[str]) -> Iterator[tuple[str, bool]]:
    """The lines, and each fenced block of an entry as one piece, without the indentation at which it stands."""
    block: list[str] | None = None
    has_begun = is_around = False  # a fence that opens before the list may stand around it
    for line in lines:
        marker = _MARKER.match(line)
        if block is not None:
            block.append(line)
            if _FENCE.fullmatch(line):
                yield _block(block), True
                block = None
        elif _FENCE.fullmatch(line):
            block = [line] if has_begun and not is_around else None
            if block is None:
                is_around = not is_around
                yield "", False
        else:
            has_begun = has_begun or marker is not None
            yield line, False
            if marker is not None and _FENCE.fullmatch(marker["rest"]):
                block = []
    yield from ((line, False) for line in block or ())  # that never ended


def _block(lines: list[str]) -> str:
    """A fenced block, whose first line may stand before it, at the margin."""
    begin = 1 if _FENCE.fullmatch(lines[0]) and len(lines) > 1 else 0
    code = textwrap.dedent("\n".join(lines[begin:-1]))
    return "\n".join([*map(str.strip, lines[:begin]), *([code] if lines[begin:-1] else []), lines[-1].strip()])


def _continue(entry: _Entry, piece: str, *, after_blank: bool, is_block: bool) -> None:
    """Adds to an entry what has no marker."""
    text = piece if is_block else piece.strip()
    if after_blank and (entry.later or not (is_block or piece.startswith(" "))):
        entry.later.append(text)
    elif entry.later:
        entry.later[-1] += f"\n{text}"
    else:
        (entry.inner or entry.lines).append(f"\n{text}" if after_blank else text)


def _nest(entry: _Entry, text: str) -> None:
    """Adds to an entry one of its inner list."""
    entry.nested.append(text)
    if entry.later:
        entry.later[-1] += f"\n{text}"
    else:
        entry.inner.append(text)


def _texts(entries: list[_Entry]) -> Iterator[str]:
    """The entries whole: with the paragraphs at the margin up to the next marker, but for headings of what follows.

    What follows the last entry may be the end of the response. It has as many paragraphs as any other has at most; the
    only entry has one if it is a shorter headline.
    """
    most = 0
    for entry in entries[:-1]:
        while entry.later and _HEADING.fullmatch(entry.later[-1]):
            entry.later.pop()
        most = max(most, len(entry.later))
    if len(entries) == 1 and entries[0].later and _HEADLINE.fullmatch(head := "\n".join(entries[0].lines)):
        most = int(len(entries[0].later[0]) > len(head))
    for number, entry in enumerate(entries, start=1):
        paragraphs = entry.later[:most] if number == len(entries) else entry.later
        yield "\n\n".join(["\n".join([*entry.lines, *entry.inner]), *paragraphs])


def _style(match: re.Match[str]) -> str:
    return next(name for name in ("number", "bullet", "letter") if match[name])


def _clean(text: str, *, titles: bool) -> str:
    """An entry without emphasis and quotes around it."""
    text = text.strip().removeprefix("****")  # the number was between them
    if text.startswith("**") and text.count("**") % 2:  # the other half stood before the number
        text = text[2:].strip()
    headline = _HEADLINE.match(text)
    if titles and headline is not None:
        text = headline["title"]
    text = _CODE_OR_BOLD.sub(lambda match: match[1] or match[2], text).strip()
    while len(text) > 1 and _QUOTES.get(text[0]) == text[-1] and text[0] not in text[1:-1]:
        text = text[1:-1].strip()
    return text.rstrip(" :.;,") if titles else text


def _json(text: str) -> list[str]:
    """The strings of the first JSON list in the text, of what there is of it where it was cut."""
    decoder = json.JSONDecoder()
    for match in re.finditer(r"[\[{]", text):
        try:
            value, _ = decoder.raw_decode(text, match.start())
        except json.JSONDecodeError:
            continue
        if strings := list(_strings(value)):
            return strings
    start = text.find("[")
    if start < 0 or not text[start + 1 :].lstrip().startswith('"'):
        return []
    return [json.loads(found) for found in _JSON_STRING.findall(text[start:]) if _is_json(found)]


def _strings(value: Any) -> Iterator[str]:
    """The strings of a list of strings, of a list of objects with one string each, or of an object that holds one."""
    if isinstance(value, dict):
        lists = [item for item in value.values() if isinstance(item, list)]
        yield from _strings(lists[0]) if len(lists) == 1 else ()
    elif isinstance(value, list):
        for item in value:
            texts = [text for text in item.values() if isinstance(text, str)] if isinstance(item, dict) else [item]
            if len(texts) == 1 and isinstance(texts[0], str):
                yield texts[0]


def _is_json(text: str) -> bool:
    try:
        return isinstance(json.loads(text), str)
    except json.JSONDecodeError:
        return False


def _commas(text: str) -> list[str]:
    """The words of a single line with several commas."""
    lines = [line for line in text.splitlines() if line.strip()]
    candidates = [line for line in lines if line.count(",") + 1 >= _LEAST_OF_COMMA_LIST]
    if len(candidates) != 1:
        return []
    line = re.sub(r"^[^,:]*:\s+", "", candidates[0])
    words = [re.sub(r"^(and|or)\s+", "", word.strip()) for word in line.split(",")]
    return words if all(len(word) <= _LONGEST_OF_COMMA_LIST for word in words) else []
