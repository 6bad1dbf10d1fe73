"""The kind of a row by its columns."""

import pytest

from lit_align.data.guessing import guess_kind
from lit_align.errors import DataError

TURNS = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello."}]


@pytest.mark.parametrize(
    ("row", "kind"),
    [
        ({"prompt": "Hi", "responses": ["a", "b"], "rewards": [1, 2]}, "scored"),
        ({"prompt": "Hi", "chosen": "a", "rejected": "b", "response": None}, "preference"),
        ({"prompt": "Hi", "response": "a", "ratings": {"style": 1}}, "rating"),
        ({"messages": TURNS}, "sft"),
        ({"messages": TURNS[:1]}, "prompt"),
        ({"instruction": "Add.", "input": "", "output": "3"}, "sft"),
        ({"question": "1 + 1?", "answer": "2"}, "sft"),
        ({"text": "A document."}, "sft"),
        ({"question_id": 81, "turns": ["Hi", "And now?"]}, "prompt"),
        ({"prompt": "Hi", "id": "x"}, "prompt"),
        ({"conversations": [{"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Hello."}]}, "sft"),
    ],
)
def test_the_columns_tell_the_kind(row, kind):
    assert guess_kind(row, place="a.jsonl:1") == kind


def test_unknown_columns_are_an_error_with_their_names():
    with pytest.raises(DataError, match=r"a\.jsonl:1: no kind of row has these columns.*\nColumns found: 'x'"):
        guess_kind({"x": 1}, place="a.jsonl:1")
