"""How varied generated text is."""

from collections.abc import Iterable


def distinct_n(texts: Iterable[str], *, n: int) -> float:
    """Distinct n-grams of whitespace-separated words over all n-grams of the texts (arXiv:1510.03055).

    Falls as text repeats itself, but also as there is more of it: compare equal numbers of texts. 0 where no text
    is `n` words long.

    >>> distinct_n(["a b a b"], n=2)
    0.6666666666666666
    """
    if n < 1:
        raise ValueError(f"n must be positive, got {n}")
    words = [text.split() for text in texts]
    ngrams = [tuple(row[i : i + n]) for row in words for i in range(len(row) - n + 1)]
    return len(set(ngrams)) / max(1, len(ngrams))
