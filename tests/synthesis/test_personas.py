"""Questions for the evaluation of retrieval: interests, questions, filters, styles."""

import re
from collections import Counter

import pytest

from lit_align.errors import ConfigError, DataError
from lit_align.synthesis.personas import PersonaQuestions
from lit_align.synthesis.template import shipped, template_names

PASSAGES = [("a", "Bees dance to tell where flowers are."), ("b", "A tide is the moon's doing.")]
PERSONAS = ["A beekeeper of eighty.", "A pupil who is in a hurry."]


class Answers:
    """Answers every template by rule; keeps what it was asked."""

    def __init__(self, **special):
        self.special = special
        self.asked = {}

    def __call__(self, name, rows, *, role="model"):
        assert name not in self.asked
        self.asked[name] = [row["prompt"][0]["content"] for row in rows]
        kinds = {shipped(kind).id: kind for kind in template_names()}
        return [self.row(row, kinds[row["template"]], f"{name}-{n}") for n, row in enumerate(rows)]

    def row(self, row, kind, name):
        response = self.answer(kind, row["prompt"][0]["content"])
        return {**row, "id": name, "sample": 0, "response": response, "generator": {"model": {"name": "rule"}}}

    def answer(self, kind, text):
        if kind in self.special:
            return self.special[kind](text)
        topic = "bees" if "Bees" in text or "bees" in text else "tides"
        return {
            "persona_interests": f"1. how {topic} work\n2. HOW {topic} work.\n3. why {topic} matter to {who(text)}",
            "persona_question_types": "Extractive, diagnostic",
            "persona_questions": f"1. What do {topic} do ({len(text)})?\n2. Why are there {topic} ({len(text)})?",
            "persona_usefulness": "It says so.\nUseful.",
            "persona_conversational": f'"So, {_asked(text)}"',
            "persona_intelligible": "Yes",
            "persona_style": "Short words.",
            "persona_rewrite": f"pls: {_asked(text)}",
        }[kind]


def who(text):
    return "honey" if "beekeeper" in text else "school"


def _asked(text):
    match = re.search(r"<(question-\w+)>\n(.*)\n</\1>", text, flags=re.DOTALL)
    return match and match[2]


def same_text(texts):
    """Clusters of equal texts."""
    places = {}
    for number, text in enumerate(texts):
        places.setdefault(text, []).append(number)
    return [cluster for cluster in places.values() if len(cluster) > 1]


def make(answers, **options):
    settings = PersonaQuestions(num_interests=3, num_questions=2, **options)
    return settings.make(PASSAGES, personas=PERSONAS, ask=answers, alike=same_text)


def test_every_question_has_the_passage_it_was_made_of_and_the_words_of_its_persona():
    found = make(Answers())
    assert [row["_id"] for row in found.corpus] == ["a", "b"]
    passage = dict(found.relevant)
    assert len(passage) == len(found.queries) > 4
    for query in found.queries:
        assert query["text"].startswith("pls: So, W")
        assert query["metadata"]["persona"] in PERSONAS
        assert query["metadata"]["question_type"] in ("extractive", "diagnostic")
        assert ("bees" in query["text"]) == (passage[query["_id"]] == "a")
    assert {query["metadata"]["persona"] for query in found.queries} == set(PERSONAS)


def test_the_account_of_every_step_is_whole():
    accounts = make(Answers()).accounts
    for counts in accounts.values():
        assert counts.read == counts.kept + counts.dropped.total()
    assert list(accounts) == [
        "passages",
        "passages and personas",
        "interests",
        "interests, distinct",
        "question types",
        "questions",
        "questions, distinct",
        "useful questions",
        "spoken questions",
        "intelligible questions",
        "styles",
        "questions with a style",
        "styled questions",
        "queries",
    ]


def test_interests_of_one_meaning_are_asked_about_once():
    answers = Answers()
    found = make(answers)
    counts = found.accounts["interests, distinct"]
    # Of two interests in each passage the second persona has one in common with the first.
    assert counts.to_dict() == {"read": 8, "kept": 6, "dropped": {"same_meaning": 2}}
    assert len(answers.asked["05-question-types"]) == 6


@pytest.mark.parametrize(
    ("special", "reason"),
    [
        ({"persona_usefulness": lambda text: "It does not.\nNot useful"}, "not_useful"),
        ({"persona_usefulness": lambda text: "useful or not useful"}, "no_verdict"),
        ({"persona_intelligible": lambda text: "No"}, "answered_no"),
        ({"persona_question_types": lambda text: "none"}, "no_type"),
        ({"persona_style": lambda text: ""}, "no_style"),
    ],
)
def test_what_a_filter_takes_is_counted_under_its_reason(special, reason):
    found = make(Answers(**special))
    assert found.queries == []
    assert any(reason in counts.dropped for counts in found.accounts.values())


def test_what_cannot_be_made_is_refused():
    settings = PersonaQuestions()
    with pytest.raises(ConfigError, match="personas"):
        settings.make(PASSAGES, personas=[], ask=Answers(), alike=same_text)
    with pytest.raises(DataError, match="two passages have the id 'a'"):
        settings.make([("a", "x"), ("a", "y")], personas=PERSONAS, ask=Answers(), alike=same_text)
    with pytest.raises(DataError, match="no passage"):
        settings.make([], personas=PERSONAS, ask=Answers(), alike=same_text)


def test_two_passages_of_one_interest_both_keep_their_questions():
    def answer(text):
        return "1. What is it?\n2. Why is it so?"

    found = make(Answers(persona_interests=lambda text: "1. what nature does", persona_questions=answer))
    assert found.accounts["questions"].dropped == {}
    assert Counter(passage for _, passage in found.relevant) == {"a": 2, "b": 2}
