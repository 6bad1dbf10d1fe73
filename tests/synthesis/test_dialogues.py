"""Turns of conversations: what is asked, who speaks, and what is taken off."""

from collections import Counter

import pytest

from lit_align.data.accounting import Accounting
from lit_align.synthesis.dialogues import AssistantTurn, UserTurn, strip_polite
from lit_align.synthesis.items import make_item
from lit_align.synthesis.template import Templates

PERSONAS = {name: Templates()[f"user_{name}"] for name in ("normal", "complex", "critical")}


def prompt(text="Why is the sky blue?"):
    return make_item("prompt", prompt=[{"role": "user", "content": text}], meta={"task": "open_qa"})


def turn(step, items, texts, *, finish="stop"):
    counts = Accounting()
    rows = [
        {
            **row,
            "id": "r",
            "sample": 0,
            "response": text,
            "finish_reason": finish,
            "generator": {"model": {"name": "m"}},
        }
        for row, text in zip(step.compose(items), texts, strict=True)
    ]
    return list(step.parse(rows, counts=counts)), counts


def test_a_dialogue_alternates_and_remembers_its_prompt_and_its_user():
    items, user = [prompt()], UserTurn(personas=PERSONAS)
    for number in range(3):
        if number:
            items, _ = turn(user, items, [f"Thanks a lot! And at {number}?"])
        items, _ = turn(AssistantTurn(), items, [f"Answer {number}."])
    (dialogue,) = items
    assert [message["role"] for message in dialogue["messages"]] == ["user", "assistant"] * 3
    assert [message["content"] for message in dialogue["messages"]][2:4] == ["And at 1?", "Answer 1."]
    assert dialogue["parents"] == [prompt()["id"]]
    assert dialogue["meta"] == {"task": "open_qa", "user": user.persona_of(prompt())}
    assert dialogue["generators"] == ["m"]


def test_the_assistant_sees_the_conversation_and_the_user_a_description_of_it():
    (row,) = AssistantTurn().compose([prompt()])
    assert row["prompt"] == prompt()["prompt"]
    items, _ = turn(AssistantTurn(), [prompt()], ["Because of the air."])
    (row,) = UserTurn(personas=PERSONAS).compose(items)
    (message,) = row["prompt"]
    assert message["role"] == "user"
    assert "User: Why is the sky blue?\n\nAssistant: Because of the air.\n</history-" in message["content"]
    assert list(AssistantTurn().compose([prompt()], made=[])) == []


def test_every_kind_of_user_speaks_and_keeps_to_its_conversation():
    user = UserTurn(personas=PERSONAS)
    prompts = [prompt(f"What is {i}?") for i in range(300)]
    spoken = Counter(user.persona_of(item) for item in prompts)
    assert set(spoken) == set(PERSONAS)
    assert min(spoken.values()) > 60
    answered, _ = turn(AssistantTurn(), prompts, ["Well."] * 300)
    assert [user.persona_of(item) for item in answered] == [user.persona_of(item) for item in prompts]
    ids = {PERSONAS[user.persona_of(item)].id for item in prompts[:1]}
    assert {row["template"] for row in user.compose(answered[:1])} == ids
    assert [UserTurn(personas=PERSONAS, seed=1).persona_of(item) for item in prompts] != [
        user.persona_of(item) for item in prompts
    ]


def test_turns_that_are_cut_off_empty_or_only_polite_end_the_dialogue_and_are_counted():
    items, _ = turn(AssistantTurn(), [prompt()], ["Because."])
    user = UserTurn(personas=PERSONAS)
    for step, some, text, finish, reason in (
        (AssistantTurn(), [prompt()], "Because of", "length", "cut_off"),
        (AssistantTurn(), [prompt()], " \n", "stop", "empty_response"),
        (AssistantTurn(), [prompt()], "Because", "content_filter", "withheld"),
        (user, items, "And why", "length", "cut_off"),
        (user, items, "", "stop", "empty_response"),
        (user, items, "Thank you so much!", "stop", "only_politeness"),
    ):
        made, counts = turn(step, some, [text], finish=finish)
        assert made == []
        assert counts.to_dict() == {"read": 1, "kept": 0, "dropped": {reason: 1}}


@pytest.mark.parametrize(
    ("response", "said"),
    [
        ("User: And red?", "And red?"),
        ("**User:** And red?", "And red?"),
        ("User: -5 + 3 = ?", "-5 + 3 = ?"),
        ("_User:_ $x^2$ is what?", "$x^2$ is what?"),
        ('User: "Red"', "Red"),
        ('User: "Red" or "blue"?', '"Red" or "blue"?'),
        ('"And red?"', "And red?"),
        ("And red?\n\nAssistant: It bends.\nUser: I see.", "And red?"),
        ('Is "red" a colour or a "word"?', 'Is "red" a colour or a "word"?'),
    ],
)
def test_a_model_that_plays_more_than_the_user_is_cut_short(response, said):
    items, _ = turn(AssistantTurn(), [prompt()], ["Because."])
    ((made,), _) = turn(UserTurn(personas=PERSONAS), items, [response])
    assert made["messages"][-1] == {"role": "user", "content": said}


@pytest.mark.parametrize(
    ("polite", "rest"),
    [
        ("Thank you for the explanation! What about red?", "What about red?"),
        ("Thanks! That's very helpful. And now?", "And now?"),
        ("Thank you so much, but why?", "Why?"),
        ("Thanks, what about red?", "What about red?"),
        ("Sure, I'd be happy to help. Which colour?", "Which colour?"),
        ("Sure, I\u2019d love to! Tell me of red.", "Tell me of red."),
        ("Certainly! Tell me more.", "Tell me more."),
        ("Great explanation! Now in one line.", "Now in one line."),
        ("Great, thank you for the tips. Is it safe?", "Is it safe?"),
        ("I really appreciate your help. Is it safe?", "Is it safe?"),
        ("That was a clear answer. But is it true?", "But is it true?"),
        ("Hello! Who are you?", "Who are you?"),
        ("Hi there, who are you?", "Who are you?"),
        ("Thank you.", ""),
        # These say something.
        ("Can you thank someone in French?", "Can you thank someone in French?"),
        ("Thanksgiving is when?", "Thanksgiving is when?"),
        ("Great Britain has how many islands?", "Great Britain has how many islands?"),
        ("Is that good?", "Is that good?"),
        ("Yes, but you left out red.", "Yes, but you left out red."),
        ("that is wrong. why?", "that is wrong. why?"),
        ("Surely not. Why?", "Surely not. Why?"),
    ],
)
def test_polite_openers_are_taken_off_and_nothing_else(polite, rest):
    assert strip_polite(polite) == rest
