"""Cleaning of prompts that hold a document: they are compared by what they ask of it, and within it alone."""

import random

import pytest

from lit_align.data.accounting import Accounting
from lit_align.synthesis.hygiene.cleaning import Cleaner
from lit_align.synthesis.hygiene.embedding import Embedder
from lit_align.synthesis.hygiene.near import near_duplicates
from lit_align.synthesis.hygiene.semantic import semantic_duplicates
from lit_align.synthesis.hygiene.settings import Cleaning
from lit_align.synthesis.items import make_item
from lit_align.synthesis.prompts.instruction_following import add_single
from lit_align.synthesis.prompts.tasks import closed_prompt
from lit_align.synthesis.template import Templates
from lit_align.synthesis.transforms import AsPrompts

REQUESTS = (
    "Summarise the article in three sentences.",
    "Which year does the author name first?",
    "Rewrite the second paragraph for children.",
    "List all the people who are mentioned.",
)


class Initials(Embedder):
    """One direction for each first letter."""

    def embed(self, texts):
        import numpy as np

        return np.eye(128, dtype=np.float32)[[ord(text[0]) for text in texts]]


def document(seed, characters=2000):
    draw = random.Random(seed)
    return " ".join("".join(draw.choices("abcdefghij", k=6)) for _ in range(characters // 7))


def prompts(requests, *, seeds=(0, 1)):
    """Requests about each of several documents, as the loop joins them."""
    step = AsPrompts(task="closed_qa", template=closed_prompt(Templates()), forgotten=("document",))
    items = [
        make_item("question", text=text, meta={"document": document(seed), "doc_id": str(seed)}, within=str(seed))
        for seed in seeds
        for text in requests
    ]
    return list(step.apply(items, counts=Accounting()))


def cleaned(rows, cleaning, **options):
    cleaner = Cleaner(cleaning, kind="prompt", **options)
    placed = [(f"row {number}", row) for number, row in enumerate(rows)]
    cleaner.take(placed)
    return [row["meta"]["request"] for row in cleaner.kept(placed)], cleaner.counts.dropped


@pytest.mark.parametrize("near", [0.7, 0.8])
def test_different_requests_about_one_long_document_stay_and_its_repeated_ones_go(near):
    rows = prompts([*REQUESTS, "Summarise the article in three sentences!"])
    texts = [row["prompt"][0]["content"] for row in rows]
    assert near_duplicates(texts[:5], threshold=near)  # by the whole prompts they are near
    kept, dropped = cleaned(rows, Cleaning(over="prompt", near=near))
    assert kept == [*REQUESTS] * 2
    assert dropped == {"near_duplicate": 2}


def test_requests_that_mean_the_same_go_within_one_document_only():
    rows = prompts([*REQUESTS, "Sum it up."])
    cleaning = Cleaning(over="prompt", near=None, semantic=0.9)
    kept, dropped = cleaned(rows, cleaning, embedder=Initials())
    assert kept == [*REQUESTS] * 2
    assert dropped == {"semantic_duplicate": 2}


def test_texts_of_different_groups_are_never_joined():
    texts, groups = ["the same text"] * 5, ["a", "b", "a", "b", "c"]
    assert near_duplicates(texts, groups=groups) == [[0, 2], [1, 3]]
    assert semantic_duplicates(texts, Initials(), block=2, groups=groups) == [[0, 2], [1, 3]]


def test_a_prompt_with_an_instruction_is_no_longer_its_request_alone():
    made = add_single(Templates()).apply(prompts(REQUESTS[:1]), counts=Accounting())
    assert all("request" not in row["meta"] for row in made)
