"""What of a row is compared: its normalised text, its words, its shingles of characters."""

import re
from functools import lru_cache
from typing import Literal

from lit_align.data.records import Demonstration, Row
from lit_align.data.splitting import normalised, prompt_turns, response_texts

Over = Literal["row", "prompt"]
# Scripts without blanks between words are taken character by character.
_UNSPACED = r"\u0e00-\u0eff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
_WORD = re.compile(rf"[{_UNSPACED}]|[^\W_{_UNSPACED}]+")


def prompt_contents(row: Row) -> str:
    """The contents of the prompt's turns, without their roles; a document is all prompt."""
    if isinstance(row, Demonstration) and row.text is not None:
        return row.text
    return "\n\n".join(turn.content for turn in prompt_turns(row))


def compared_text(row: Row, *, over: Over = "row", prompt: str | None = None) -> str:
    """The normalised text by which rows are found to repeat one another: prompt and responses, or the prompt alone.

    Args:
        row: The row.
        over: Which of the two.
        prompt: What stands for its prompt.
    """
    responses = response_texts(row) if over == "row" else ()
    return normalised("\n".join((prompt_contents(row) if prompt is None else prompt, *responses)))


def words(text: str) -> list[str]:
    """The words of a text without case, punctuation and Unicode form; unspaced scripts character by character.

    >>> words("Don't panic: 42\u4e16\u754c!")
    ['don', 't', 'panic', '42', '\u4e16', '\u754c']
    """
    return _WORD.findall(normalised(text))


def ngrams(tokens: list[str], n: int) -> list[str]:
    """Every run of `n` words, joined by blanks.

    >>> ngrams(["a", "b", "c"], 2)
    ['a b', 'b c']
    """
    return [" ".join(tokens[start : start + n]) for start in range(len(tokens) - n + 1)]


@lru_cache(maxsize=1024)
def shingles(text: str, n: int) -> frozenset[str]:
    """The runs of `n` characters of a text; a shorter text is its own only one.

    >>> sorted(shingles("banana", 3))
    ['ana', 'ban', 'nan']
    """
    return frozenset(text[start : start + n] for start in range(max(1, len(text) - n + 1)))


def jaccard(one: frozenset[str], other: frozenset[str]) -> float:
    """The share of what either set has that both have.

    >>> jaccard(frozenset("abc"), frozenset("bcd"))
    0.5
    """
    shared = len(one & other)
    return shared / (len(one) + len(other) - shared) if one or other else 1.0
