"""What is done to items without a model: draws, combinations, prompts, thresholds; real prompts and their safety."""

import random

import pytest

from lit_align.data.accounting import Accounting
from lit_align.data.sources import read_raw
from lit_align.errors import DataError
from lit_align.files import write_jsonl
from lit_align.synthesis.items import make_item
from lit_align.synthesis.prompts.real import RealPrompts, Safe, Texts, given
from lit_align.synthesis.prompts.tasks import closed_prompt
from lit_align.synthesis.template import Templates
from lit_align.synthesis.transforms import AboveReward, AsPrompts, Cross, Take


def apply(transform, items):
    counts = Accounting()
    return list(transform.apply(items, counts=counts)), counts.to_dict()


def texts(items):
    return {item["text"] for item in items}


def test_a_draw_depends_on_seed_and_content_and_not_on_order():
    items = given("topic", [f"Topic {i}" for i in range(40)])
    few, counts = apply(Take(most=10), items)
    assert counts == {"read": 40, "kept": 10, "dropped": {"not_sampled": 30}}
    shuffled = random.Random(0).sample(items, 40)
    assert texts(apply(Take(most=10), shuffled)[0]) == texts(few)
    assert texts(apply(Take(most=15), items)[0]) > texts(few)
    assert texts(apply(Take(most=10, seed=1), items)[0]) != texts(few)
    assert [item["text"] for item in few] == [item["text"] for item in items if item in few]


def test_the_same_content_is_taken_once():
    items = given("topic", ["Light", " light", "Heat"])
    assert apply(Take(), items)[1] == {"read": 3, "kept": 2, "dropped": {"duplicate": 1}}


def test_topics_are_combined_with_different_values():
    (item,) = given("topic", ["Light"])
    crossed, _ = apply(Cross(name="material", values=("poem", "essay", "song"), num=2), [item])
    assert len({made["id"] for made in crossed} | {item["id"]}) == 3
    assert len({made["meta"]["material"] for made in crossed}) == 2
    assert all(made["parents"] == [item["id"]] and made["text"] == "Light" for made in crossed)
    assert apply(Cross(name="material", values=("song", "essay", "poem"), num=2), [item])[0] == crossed


def test_the_same_content_within_two_values_is_taken_twice():
    items = [{**given("keyword", ["Loops"])[0], "meta": {"language": name}} for name in ("C", "Go", "Go")]
    assert apply(Take(within="language"), items)[1] == {"read": 3, "kept": 2, "dropped": {"duplicate": 1}}


def test_a_document_stands_in_the_prompt_and_no_longer_in_what_is_known_of_it():
    text = "Braces {question} stay."
    item = make_item("question", text="What stays?", meta={"document": text, "doc_id": "d"}, parents=["d"])
    step = AsPrompts(task="closed_qa", template=closed_prompt(Templates()), forgotten=("document",))
    ((made,), _) = apply(step, [item])
    (turn,) = made["prompt"]
    assert text in turn["content"]
    assert "What stays?" in turn["content"]
    assert made["meta"] == {"doc_id": "d", "task": "closed_qa", "request": "What stays?"}
    assert made["parents"] == [item["id"]]


def test_what_pleases_the_reward_model_too_little_is_dropped():
    items = [
        {**item, "reward": reward} for item, reward in zip(given("x", ["a", "b", "c"]), (1.0, 2.0, 3.0), strict=True)
    ]
    kept, counts = apply(AboveReward(threshold=2.0), items)
    assert [item["reward"] for item in kept] == [2.0, 3.0]
    assert counts["dropped"] == {"low_reward": 1}
    with pytest.raises(DataError, match="has no reward: score the items first"):
        apply(AboveReward(threshold=2.0), given("x", ["a"]))


def conversation(text, *, flagged=(False, False), **more):
    turns = [{"role": "user", "content": text}, {"role": "assistant", "content": "Hm."}]
    return {"conversation": turns, "openai_moderation": [{"flagged": flag} for flag in flagged], **more}


REAL = RealPrompts(dataset="chats", licence="free", languages=("English",), max_characters=50)


def test_real_prompts_are_first_messages_that_know_whether_they_are_safe(tmp_path):
    rows = [
        conversation("Hello?", language="English"),
        conversation("Harm?", language="English", flagged=(False, True)),
        conversation("Hallo?", language="German"),
        conversation("x" * 51, language="English"),
        conversation(" ", language="English"),
        {"messages": [{"role": "user", "content": "Wild?"}], "toxic": True, "language": "English"},
    ]
    write_jsonl(tmp_path / "chats.jsonl", rows)
    items, counts = apply(REAL, (row for _, row in read_raw(tmp_path / "chats.jsonl")))
    assert [item["prompt"] for item in items] == [
        [{"role": "user", "content": text}] for text in ("Hello?", "Harm?", "Wild?")
    ]
    assert [item["meta"]["unsafe"] for item in items] == [False, True, True]
    assert items[0]["source"] == {"dataset": "chats", "licence": "free"}
    assert counts["dropped"] == {"other_language": 1, "too_long": 1, "empty_prompt": 1}
    safe, counts = apply(Safe(), items)
    assert safe == items[:1]
    assert counts["dropped"] == {"unsafe": 2}


def test_a_prompt_that_either_column_or_any_copy_calls_unsafe_is_unsafe():
    rows = [conversation("Harm?"), conversation("harm?", toxic=True), conversation("Hello?", toxic=False)]
    items, _ = apply(RealPrompts(dataset="chats", licence="free"), rows)
    assert [item["meta"]["unsafe"] for item in items] == [False, True, False]
    for order in (items, items[::-1]):
        taken, counts = apply(Take(), order)
        assert counts["dropped"] == {"duplicate": 1}
        assert sorted(item["meta"]["unsafe"] for item in taken) == [False, True]
        assert len(apply(Safe(), taken)[0]) == 1


def test_rows_that_say_nothing_of_safety_are_refused_unless_that_is_wanted():
    row = {"conversations": [{"from": "human", "value": "Hello?"}, {"from": "gpt", "value": "Hi."}]}
    with pytest.raises(DataError, match="chats:row 1: nothing says whether the conversation is unsafe"):
        apply(RealPrompts(dataset="chats", licence="free"), [row])
    items, _ = apply(RealPrompts(dataset="chats", licence="free", is_moderated=False), [row])
    assert items[0]["prompt"] == [{"role": "user", "content": "Hello?"}]
    assert not items[0]["meta"]["unsafe"]


def test_documents_keep_their_source_and_name_themselves():
    reader = Texts(kind="document", dataset="C4", licence="ODC-BY", max_characters=20, meta={"of": "web"})
    items, counts = apply(reader, [{"text": " Light. "}, {"text": ""}, {"text": "x" * 21}])
    assert [item["text"] for item in items] == ["Light."]
    assert items[0]["meta"] == {"of": "web", "doc_id": items[0]["id"]}
    assert items[0]["source"] == {"dataset": "C4", "licence": "ODC-BY"}
    assert counts["dropped"] == {"empty_text": 1, "too_long": 1}
    with pytest.raises(DataError, match=r"C4:row 1: `text` must hold text\nColumns: \['body'\]"):
        apply(reader, [{"body": "x"}])
