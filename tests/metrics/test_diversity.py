"""Distinct n-grams."""

import pytest

from lit_align.metrics import distinct_n


def test_distinct_n_pools_the_ngrams_of_all_texts_and_crosses_no_boundary() -> None:
    assert distinct_n(["a b c", "a b"], n=1) == 3 / 5
    assert distinct_n(["a b c", "a b"], n=2) == 2 / 3


def test_copies_of_one_text_tend_to_zero_diversity() -> None:
    assert distinct_n(["x y z"] * 50, n=2) == 2 / 100


def test_texts_that_are_too_short_have_none() -> None:
    assert distinct_n(["", "a"], n=2) == 0.0


def test_n_must_be_positive() -> None:
    with pytest.raises(ValueError, match="n must be positive, got 0"):
        distinct_n(["a"], n=0)
