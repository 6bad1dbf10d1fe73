"""Rows of well-known data sets are understood as they are."""

from typing import Any

import pytest

from lit_align.data.records import Dropped, parse_row
from lit_align.errors import DataError

PLACE = "rows.jsonl:1"


def turns(conversation: Any) -> list[tuple[str, str]]:
    return [(turn.role, turn.content) for turn in conversation]


# HelpSteer2

HELPSTEER_PROMPT = "Hello\n \n\n<extra_id_1>Assistant\nHi, I am here.\n<extra_id_1>User\nTell me\nmore"


def test_helpsteer_turn_markers_become_turns():
    raw = {"prompt": HELPSTEER_PROMPT, "response": "No.", "helpfulness": 3, "verbosity": 1}
    row = parse_row("rating", raw, PLACE)
    # One line break before a marker and one after it belong to the marker; all else is the turn's.
    assert turns(row.prompt) == [("user", "Hello\n \n"), ("assistant", "Hi, I am here."), ("user", "Tell me\nmore")]
    assert row.ratings == {"helpfulness": 3.0, "verbosity": 1.0}


def test_a_helpsteer_file_also_holds_demonstrations():
    row = parse_row("sft", {"prompt": HELPSTEER_PROMPT, "response": "No.", "helpfulness": 3}, PLACE)
    assert turns(row.messages)[-1] == ("assistant", "No.")
    assert [turn.train for turn in row.messages] == [None, False, None, None]


@pytest.mark.parametrize(
    ("prompt", "expected"),
    [
        ("<extra_id_0>System\nBe kind\n<extra_id_1>User\nHi", [("system", "Be kind"), ("user", "Hi")]),
        ("Hi\n<extra_id_1>Assistant\n", [("user", "Hi")]),
        ("Hi\n<extra_id_1>Assistant", [("user", "Hi")]),
        ("What does <extra_id_1>User mean?", [("user", "What does <extra_id_1>User mean?")]),
        ("a\n<extra_id_1>User\n<extra_id_1>Assistant\nb", [("user", "a"), ("user", ""), ("assistant", "b")]),
    ],
)
def test_markers_count_only_at_the_beginning_of_a_line(prompt: str, expected: list[tuple[str, str]]):
    assert turns(parse_row("prompt", {"prompt": prompt}, PLACE).prompt) == expected


# HH-RLHF


def hh(*contents: str) -> str:
    return "".join(f"\n\n{('Human', 'Assistant')[index % 2]}: {text}" for index, text in enumerate(contents))


def test_hh_strings_are_parsed_to_turns():
    raw = {"chosen": hh("Hi", "Hello", "How?", "So."), "rejected": hh("Hi", "Hello", "How?", " Not.")}
    row = parse_row("preference", raw, PLACE)
    assert turns(row.prompt) == [("user", "Hi"), ("assistant", "Hello"), ("user", "How?")]
    assert (row.chosen, row.rejected) == ("So.", "Not.")


def test_an_implicit_prompt_never_ends_inside_a_turn():
    raw = {"chosen": hh("Hi", "The cat sat"), "rejected": hh("Hi", "The cat ran")}
    row = parse_row("preference", raw, PLACE)
    assert turns(row.prompt) == [("user", "Hi")]
    assert (row.chosen, row.rejected) == ("The cat sat", "The cat ran")


@pytest.mark.parametrize(
    ("chosen", "rejected", "reason"),
    [
        (hh("Hi", "A", "Ho", "B"), hh("Hi", "A2", "Ho", "C"), "prompt_mismatch"),
        (hh("Hi", "A"), hh("Hi", "A", "Ho", "C"), "prompt_mismatch"),
        (hh("Hi", "A. Human: Ho", "B").replace("Human: B", "Assistant: B"), hh("Hi", "C"), "prompt_mismatch"),
        (hh("Hi", ""), hh("Hi", "A"), "empty_response"),
        (hh("Hi", "A"), hh("Hi", " A"), "identical_responses"),
        (hh("", "A"), hh("", "B"), "empty_prompt"),
    ],
)
def test_hh_rows_without_use_are_dropped_by_name(chosen: str, rejected: str, reason: str):
    with pytest.raises(Dropped) as caught:
        parse_row("preference", {"chosen": chosen, "rejected": rejected}, PLACE)
    assert caught.value.reason == reason


def test_an_hh_string_that_ends_with_the_human_is_malformed():
    with pytest.raises(DataError, match="`chosen` ends with a user turn"):
        parse_row("preference", {"chosen": hh("Hi"), "rejected": hh("Hi", "A")}, PLACE)


def test_an_explicit_hh_prompt_loses_its_bare_assistant_label():
    raw = {"prompt": "\n\nHuman: Hi\n\nAssistant:", "chosen": " A", "rejected": " B"}
    assert turns(parse_row("preference", raw, PLACE).prompt) == [("user", "Hi")]


def test_a_plain_text_about_humans_is_no_transcript():
    row = parse_row("prompt", {"prompt": "Human: is this a species?"}, PLACE)
    assert turns(row.prompt) == [("user", "Human: is this a species?")]


# UltraFeedback


@pytest.mark.parametrize("as_messages", [False, True])
def test_ultrafeedback_scores_are_rewards(as_messages: bool):
    chosen, rejected = "A", "B"
    if as_messages:
        chosen, rejected = (
            [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": text}] for text in (chosen, rejected)
        )
    raw = {"prompt": "Hi", "prompt_id": "x", "chosen": chosen, "rejected": rejected}
    raw |= {"messages": [], "score_chosen": 8.5, "score_rejected": 3}
    row = parse_row("preference", raw, PLACE)
    assert (row.chosen, row.rejected, row.chosen_reward, row.rejected_reward) == ("A", "B", 8.5, 3.0)


# Instruction data


@pytest.mark.parametrize("raw", [{"input": "1 2", "output": "3"}, {"context": "1 2", "response": "3"}])
def test_alpaca_and_dolly_rows_join_instruction_and_input(raw: dict[str, str]):
    row = parse_row("sft", {"instruction": "Add.", "category": "math", **raw}, PLACE)
    assert turns(row.messages) == [("user", "Add.\n\n1 2"), ("assistant", "3")]


@pytest.mark.parametrize("nothing", ["", " ", None, "<no input>", "No Input", "noinput.", "`<noinput>`", "N/A"])
def test_a_placeholder_of_no_input_is_no_input(nothing: str | None):
    row = parse_row("sft", {"instruction": "Sing.", "input": nothing, "output": "La"}, PLACE)
    assert turns(row.messages)[0] == ("user", "Sing.")


@pytest.mark.parametrize("text", ["Na", "I put no input here", "none of them", "0"])
def test_a_real_input_is_no_placeholder(text: str):
    row = parse_row("sft", {"instruction": "Sing.", "input": text, "output": "La"}, PLACE)
    assert turns(row.messages)[0] == ("user", f"Sing.\n\n{text}")


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        ({"instruction": 3, "output": "x"}, "`instruction` must be a string"),
        ({"instruction": "a", "input": ["x"], "output": "x"}, "`input` must be a string"),
        ({"conversations": "a"}, "`conversations` must be a list of objects"),
        ({"conversations": [{"from": "alien", "value": "x"}]}, "known roles"),
        ({"conversations": [{"from": "human", "value": 3}]}, "must be a string"),
    ],
)
def test_a_foreign_column_of_the_wrong_type_is_named(raw: dict[str, Any], said: str):
    with pytest.raises(DataError, match=r"^rows\.jsonl:1: ") as caught:
        parse_row("sft", raw, PLACE)
    assert said in str(caught.value)


def test_an_empty_instruction_is_an_empty_prompt_even_with_input():
    with pytest.raises(Dropped, match="empty_prompt"):
        parse_row("sft", {"instruction": " ", "input": "x", "output": "y"}, PLACE)


@pytest.mark.parametrize("columns", [("question", "answer"), ("prompt", "completion"), ("instruction", "output")])
def test_other_names_of_prompt_and_response_are_known(columns: tuple[str, str]):
    row = parse_row("sft", dict(zip(columns, ("Hi", "Hello"), strict=True)), PLACE)
    assert turns(row.messages) == [("user", "Hi"), ("assistant", "Hello")]


def test_sharegpt_conversations_become_messages():
    talk = [{"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Hello", "train": False}]
    talk += [{"from": "human", "value": "Ho"}, {"from": "gpt", "value": "Bye"}]
    row = parse_row("sft", {"conversations": talk, "system": "Be kind"}, PLACE)
    assert turns(row.messages)[:3] == [("system", "Be kind"), ("user", "Hi"), ("assistant", "Hello")]
    assert row.messages[2].train is False


# Prompts of everything


@pytest.mark.parametrize(
    ("raw", "left"),
    [
        ({"prompt": "Hi", "response": "x"}, {"response"}),
        ({"instruction": "Hi", "input": "", "output": "x", "id": 1}, {"output", "id"}),
        ({"instruction": "Hi", "context": "", "response": "x"}, {"response"}),
        ({"question": "Hi", "answer": "x"}, {"answer"}),
        ({"question_id": 81, "turns": ["Hi", "And now?"]}, {"question_id", "turns"}),
        ({"prompt": "Hi", "turns": ["Ho"]}, {"turns"}),
        ({"conversations": [{"from": "human", "value": "Hi"}], "id": 2}, {"id"}),
        ({"chosen": hh("Hi", "A"), "rejected": hh("Hi", "B")}, {"chosen", "rejected"}),
        ({"prompt": "Hi", "chosen": "A", "rejected": "B", "score_chosen": 1}, {"chosen", "rejected", "score_chosen"}),
        ({"prompt": "Hi", "response": "x", "row_id": "r", "sample": 0}, {"response", "row_id", "sample"}),
    ],
)
def test_any_row_gives_its_prompt_to_generation_and_carries_the_rest(raw: dict[str, Any], left: set[str]):
    row = parse_row("prompt", raw, PLACE)
    assert turns(row.prompt) == [("user", "Hi")]
    assert row.fields == {key: raw[key] for key in left}
