"""What steps ask and what they make of the responses; every shipped prompt and its parser, with scripted responses."""

import pytest

from lit_align.data.accounting import Accounting
from lit_align.synthesis.items import child, make_item
from lit_align.synthesis.prompts import tasks, topics
from lit_align.synthesis.prompts.real import given
from lit_align.synthesis.steps import AskList, AskYesNo, verdict_of
from lit_align.synthesis.template import Template, Templates, template_names

SHIPPED = Templates()
PERSONAS = {"user_normal", "user_complex", "user_critical"}


def responses(step, items, texts, *, made=None, finish="stop"):
    """Rows as a generator writes them, with the texts as responses, in turn."""
    rows = list(step.compose(items, made=made))
    assert len(rows) == len(texts)
    model = {"model": {"name": "scripted"}}
    return [
        {**row, "id": f"r{i}", "sample": 0, "response": text, "finish_reason": finish, "generator": model}
        for i, (row, text) in enumerate(zip(rows, texts, strict=True))
    ]


def parsed(step, rows):
    counts = Accounting()
    return list(step.parse(rows, counts=counts)), counts


def ask(num=3, **options):
    return AskList(kind="topic", num=num, template=Template(name="t", text="Name {num} of {subject}."), **options)


@pytest.fixture
def fields():
    return given("subject", ["science", "art"])


def test_a_list_becomes_items_that_know_where_they_come_from(fields):
    rows = responses(ask(), fields, ["1. Physics\n2. Botany\n3. Logic", "- Dance\n- Song\n- Film"])
    assert rows[0]["prompt"] == [{"role": "user", "content": "Name 3 of science."}]
    items, counts = parsed(ask(), rows)
    assert [item["text"] for item in items] == ["Physics", "Botany", "Logic", "Dance", "Song", "Film"]
    assert items[0]["parents"] == [fields[0]["id"]]
    assert items[0]["meta"] == {"subject": "science"}
    assert items[0]["template"] == ask().template.id
    assert items[0]["generators"] == ["scripted"]
    assert counts.to_dict() == {"read": 6, "kept": 6, "dropped": {}}


def test_every_entry_and_every_response_is_accounted_for(fields):
    long = "x" * 50
    texts = [f"1. Physics\n2. physics.\n3. {long}\n4. Botany\n5. !\n6. Logic\n7. Sets", "I would rather not."]
    items, counts = parsed(ask(max_characters=40), responses(ask(max_characters=40), fields, texts))
    assert [item["text"] for item in items] == ["Physics", "Botany", "Logic"]
    dropped = {"duplicate": 1, "too_long": 1, "no_words": 1, "surplus": 1, "no_list": 1}
    assert counts.to_dict() == {"read": 8, "kept": 3, "dropped": dropped}
    assert counts.first_places["no_list"] == "response r1, sample 0"


def test_of_a_list_that_was_cut_off_the_last_entry_is_not_used(fields):
    rows = responses(ask(), fields[:1], ["1. Physics\n2. Botany\n3. Log"], finish="length")
    items, counts = parsed(ask(), rows)
    assert [item["text"] for item in items] == ["Physics", "Botany"]
    assert counts.dropped == {"cut_off": 1}


def test_what_is_missing_is_asked_for_once_more_and_only_that(fields):
    step = ask()
    first = responses(step, fields, ["1. Physics\n2. Botany", "1. Dance\n2. Song\n3. Film"])
    made, _ = parsed(step, first)
    (again,) = step.compose(fields, made=made)
    text = again["prompt"][0]["content"]
    assert text.startswith("Name 1 of science.\n\n")
    assert "Physics\nBotany" in text
    assert "Dance" not in text
    second = responses(step, fields, ["1. Botany\n2. Logic\n3. Sets"], made=made)
    items, counts = parsed(step, [*first, *second])
    assert sorted(item["text"] for item in items) == ["Botany", "Dance", "Film", "Logic", "Physics", "Song"]
    assert counts.dropped == {"duplicate": 1, "surplus": 1}
    assert list(step.compose(fields, made=items)) == []


def test_a_list_that_nobody_gave_is_asked_for_again_whole(fields):
    (row,) = ask().compose(fields[:1], made=[])
    assert row["prompt"][0]["content"] == "Name 3 of science."


def test_the_same_entry_under_two_items_is_taken_once(fields):
    items, counts = parsed(ask(), responses(ask(), fields, ["1. Light\n2. Form", "1. light\n2. Colour"]))
    assert [item["text"] for item in items] == ["Light", "Form", "Colour"]
    assert counts.dropped == {"duplicate": 1}


def test_two_items_within_different_values_may_have_the_same_entry():
    fields = [
        {**item, "meta": {"age": age}}
        for item, age in zip(given("subject", ["science", "art", "law"]), "aab", strict=True)
    ]
    step = ask(within="age")
    items, counts = parsed(step, responses(step, fields, ["1. Light", "1. light\n2. Colour", "1. Light"]))
    assert [item["text"] for item in items] == ["Light", "Colour", "Light"]
    assert len({item["id"] for item in items}) == 3
    assert counts.dropped == {"duplicate": 1}


@pytest.mark.parametrize("step", [tasks.closed_questions(SHIPPED, num=2), topics.coding_topics(SHIPPED, num=2)])
def test_documents_may_have_one_request_and_languages_one_topic(step):
    kind = "document" if step.kind == "question" else "language"
    items = [{**item, "meta": {"doc_id": item["id"]}} for item in given(kind, ["Light is fast.", "Rain is wet."])]
    made, counts = parsed(step, responses(step, items, ["1. Sum it up."] * 2))
    assert counts.to_dict() == {"read": 2, "kept": 2, "dropped": {}}
    assert [item["parents"] for item in made] == [[item["id"]] for item in items]


def test_an_inner_list_is_no_entry_of_a_list_of_titles(fields):
    step = ask(titles=True)
    items, counts = parsed(step, responses(step, fields[:1], ["1. **Physics**:\n   - Light\n   - Heat\n2. Botany"]))
    assert [item["text"] for item in items] == ["Physics", "Botany"]
    assert counts.dropped == {"inner_list": 2}


def test_items_are_kept_of_which_the_model_says_yes():
    step = AskYesNo(template=Template(name="t", text="Is {keyword} mathematics?"))
    items = given("keyword", ["Group", "Soup", "Ring", "Rice"])
    kept, counts = parsed(step, responses(step, items, ["Yes", "**No.**", "It has two operations.\nAnswer: Yes", "Hm"]))
    assert kept == [items[0], items[2]]
    assert counts.to_dict() == {"read": 4, "kept": 2, "dropped": {"answered_no": 1, "no_verdict": 1}}
    assert list(step.compose(items, made=kept)) == []


def test_a_verdict_is_a_word_and_not_the_beginning_of_one():
    assert [verdict_of(text) for text in ("yes!", " NO", "Yesterday", "Not so", "", "No, but yes")] == [
        True,
        False,
        None,
        None,
        None,
        False,
    ]


def chain(*pairs):
    """An item with its ancestors, the oldest first."""
    (kind, text), *others = pairs
    (item,) = given(kind, [text])
    for kind, text in others:
        item = child(item, kind, text=text)
    return item


TOPIC = (("subject", "science"), ("macro_topic", "Physics"), ("topic", "Light"))
KEYWORD = (("level", "university"), ("macro_topic", "Algebra"), ("keyword", "Rings"))
CODE = (("language", "Python"), ("macro_topic", "Data"), ("keyword", "dict"))
QUESTION, PROBLEM = ("question", "Why is it blue?"), ("problem", "Add 2 and 3.")
STEPS = {
    "macro_topics": (topics.macro_topics(SHIPPED, num=4), TOPIC[:1]),
    "subtopics": (topics.subtopics(SHIPPED, num=4), TOPIC[:2]),
    "math_topics": (topics.math_topics(SHIPPED, num=4), KEYWORD[:1]),
    "math_subtopics": (topics.math_keywords(SHIPPED, num=4), KEYWORD[:2]),
    "coding_topics": (topics.coding_topics(SHIPPED, num=4), CODE[:1]),
    "coding_subtopics": (topics.coding_keywords(SHIPPED, num=4), CODE[:2]),
    "open_questions": (tasks.open_questions(SHIPPED, num=4), TOPIC),
    "revise_question": (tasks.revised_questions(SHIPPED, num=4), (*TOPIC, QUESTION)),
    "writing_tasks": (tasks.writing_tasks(SHIPPED, num=4), (("material", "poem"), *TOPIC)),
    "revise_writing": (tasks.revised_writing(SHIPPED, num=4), (*TOPIC, ("task", "Write of light."))),
    "closed_questions": (tasks.closed_questions(SHIPPED, num=4), (("document", "Light is fast."),)),
    "revise_closed_question": (
        tasks.revised_closed_questions(SHIPPED, num=4),
        (("document", "Light is fast."), QUESTION),
    ),
    **{
        f"math_problems_{name}": (tasks.math_problems(SHIPPED, num=4, difficulty=name), KEYWORD)
        for name in ("general", "beginner")
    },
    "revise_math": (tasks.revised_math(SHIPPED, num=4), (*KEYWORD, PROBLEM)),
    **{
        f"coding_problems_{name}": (tasks.coding_problems(SHIPPED, num=4, difficulty=name), CODE)
        for name in ("beginner", "intermediate", "advanced")
    },
    "revise_coding": (tasks.revised_coding(SHIPPED, num=4), (*CODE, PROBLEM)),
}


@pytest.mark.parametrize("name", STEPS)
def test_every_shipped_list_is_asked_for_with_its_values_and_read(name):
    step, ancestors = STEPS[name]
    item = chain(*ancestors)
    (row,) = rows = responses(step, [item], ["Sure!\n1. **First entry**\n2. Second entry\n\nMore?"])
    text = row["prompt"][0]["content"]
    assert step.template == SHIPPED[name]
    assert "4" in text
    assert "{" not in text
    assert item["text"] in text
    items, counts = parsed(step, rows)
    assert [made["text"] for made in items] == ["First entry", "Second entry"]
    assert all(made["parents"] == [item["id"]] and made["meta"][item["kind"]] == item["text"] for made in items)
    assert counts.kept == counts.read == 2


@pytest.mark.parametrize(
    ("step", "ancestors"), [(topics.math_entities(SHIPPED), KEYWORD), (topics.coding_entities(SHIPPED), CODE)]
)
def test_every_shipped_question_of_yes_and_no_names_its_keyword(step, ancestors):
    item = chain(*ancestors)
    (row,) = rows = responses(step, [item], ["Yes."])
    assert item["text"] in row["prompt"][0]["content"]
    assert parsed(step, rows)[0] == [item]


def test_no_shipped_template_is_without_a_test():
    local = {"closed_prompt", "instruction_single", "instruction_all_turns", "instruction_revise", "list_again"}
    assert set(template_names()) >= {*STEPS, *PERSONAS, *local, "classify_math", "classify_coding"}


def test_the_id_of_an_item_depends_on_its_kind_and_content_alone():
    one = make_item("topic", text="Light", meta={"a": "b"}, parents=["x"])
    assert one["id"] == make_item("topic", text="Light")["id"] != make_item("keyword", text="Light")["id"]
    with pytest.raises(ValueError, match="must be one of text, prompt, messages"):
        make_item("topic", txt="Light")
