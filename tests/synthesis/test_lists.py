"""Lists in responses, as models write them."""

import pytest

from lit_align.synthesis.lists import parse_list

PLAIN = {
    "numbered": "1. Algebra\n2. Logic\n3. Sets",
    "numbered, with parentheses": "1) Algebra\n2) Logic\n(3) Sets",
    "bulleted": "- Algebra\n- Logic\n- Sets",
    "asterisks": "* Algebra\n* Logic\n* Sets",
    "other bullets": "• Algebra\n• Logic\n• Sets",
    "letters": "a) Algebra\nb) Logic\nc) Sets",
    "blank lines between": "1. Algebra\n\n2. Logic\n\n3. Sets\n",
    "JSON": '["Algebra", "Logic", "Sets"]',
    "JSON in a fence": 'Here:\n```json\n[\n  "Algebra",\n  "Logic",\n  "Sets"\n]\n```\nDone.',
    "JSON in an object": '{"topics": ["Algebra", "Logic", "Sets"]}',
    "JSON objects": '[{"topic": "Algebra"}, {"topic": "Logic"}, {"topic": "Sets"}]',
    "bold": "1. **Algebra**\n2. **Logic**\n3. **Sets**",
    "bold with the number": "**1. Algebra**\n**2. Logic**\n**3. Sets**",
    "bold numbers": "**1.** Algebra\n**2.** Logic\n**3.** Sets",
    "headings": "### 1. Algebra\n### 2. Logic\n### 3. Sets",
    "quotes": '1. "Algebra"\n2. “Logic”\n3. `Sets`',
    "text around": "Of course! Here are 3 topics:\n\n1. Algebra\n2. Logic\n3. Sets\n\nLet me know if you want more!",
    "indented": "  1. Algebra\n  2. Logic\n  3. Sets",
    "Windows lines": "1. Algebra\r\n2. Logic\r\n3. Sets\r\n",
    "no space": "1.Algebra\n2.Logic\n3.Sets",
}


@pytest.mark.parametrize("titles", [False, True])
@pytest.mark.parametrize("text", PLAIN.values(), ids=PLAIN)
def test_the_same_list_is_read_however_it_is_written(text, titles):
    parsed = parse_list(text, titles=titles)
    assert parsed.entries == ["Algebra", "Logic", "Sets"]
    assert parsed.nested == []


def test_titles_lose_their_explanations_and_their_inner_lists():
    text = "1. **Algebra**: about symbols\n   - Groups\n   - Rings\n2. **Logic** - about proofs"
    parsed = parse_list(text, titles=True)
    assert parsed.entries == ["Algebra", "Logic"]
    assert parsed.nested == ["Groups", "Rings"]
    assert parse_list(text).entries == ["Algebra: about symbols\nGroups\nRings", "Logic - about proofs"]


def test_an_entry_of_several_lines_is_whole_and_what_follows_the_list_is_not_in_it():
    text = "1. Write a function\nthat adds.\n\n   It takes two numbers.\n\n2. Write another.\n\nI hope it helps.\nBye."
    assert parse_list(text).entries == [
        "Write a function\nthat adds.\n\nIt takes two numbers.",
        "Write another.",
    ]


def test_numbers_and_dashes_inside_of_sentences_begin_no_entry():
    text = "1. What is 3.5 times 2?\n2. Pi is\n3.14 or more?\n--- \n**not** a list"
    assert parse_list(text).entries[:2] == ["What is 3.5 times 2?", "Pi is\n3.14 or more?\n---\nnot a list"]


def test_prose_is_no_list():
    for text in ("", "I cannot do that.", "Sorry!\nI am a model.", "[1] is a reference", "{}", "[1, 2]"):
        assert parse_list(text).entries == []
        assert parse_list(text, titles=True).entries == []


def test_words_between_commas_are_a_list_of_titles_only():
    text = "The topics are: algebra, logic, set theory, and graphs."
    assert parse_list(text, titles=True).entries == ["algebra", "logic", "set theory", "graphs"]
    assert parse_list(text).entries == []
    assert parse_list("Well, I think, to be honest, that " + "this is a long sentence " * 4, titles=True).entries == []


def test_of_json_that_was_cut_the_whole_strings_are_kept():
    assert parse_list('["Algebra", "Logic \\"of\\" terms", "Se').entries == ["Algebra", 'Logic "of" terms']


def test_emphasis_inside_of_sentences_goes_and_code_stays():
    assert parse_list("- Explain **why** `a_b` holds.").entries == ["Explain why `a_b` holds."]
    assert parse_list("1. Use `__init__` or __call__.").entries == ["Use `__init__` or __call__."]
    assert parse_list("1. Is `a**b` or `b**a` **more**?").entries == ["Is `a**b` or `b**a` more?"]


GARDEN = "A garden is 3 m by 4 m.\nIt is fenced."


def test_an_entry_has_all_of_its_paragraphs_up_to_the_next_marker():
    entries = [f"{n}. **Problem {n}**\n\n{GARDEN}\n\nHow long is the fence?" for n in (1, 2, 3)]
    text = "\n\n---\n\n".join(["Here are three:", *entries, "I hope they help."])
    whole = [f"Problem {n}\n\n{GARDEN}\n\nHow long is the fence?" for n in (1, 2, 3)]
    assert parse_list(text).entries == whole
    assert parse_list(text, titles=True).entries == ["Problem 1", "Problem 2", "Problem 3"]


def test_headings_between_entries_are_in_none():
    text = "1. Add.\n\n2. Subtract.\n\n## Harder\n\n3. Divide.\n\n**Hardest**\n\n4. Integrate.\n\nShall I go on?"
    assert parse_list(text).entries == ["Add.", "Subtract.", "Divide.", "Integrate."]


def test_the_only_entry_is_more_than_its_headline():
    assert parse_list(f"1. **A garden**\n\n{GARDEN}\n\nBye.").entries == [f"A garden\n\n{GARDEN}"]
    assert parse_list("1. **How long is the fence?**\n\nShall I go on?").entries == ["How long is the fence?"]


@pytest.mark.parametrize("indent", ["", "   "])
def test_code_in_an_entry_stays_as_it_is(indent):
    code = "```python\ndef f(x):\n    # 1. not an entry\n\n    return [\n- x ** 2,\n        y ** 2,\n    ]\n```"
    block = "\n".join(indent + line for line in code.splitlines())
    text = f"1. What does this give?\n{block}\n\n2. And this?\n\n{block}\n\n3. ```python\n{block.partition(chr(10))[2]}"
    assert parse_list(text).entries == [f"What does this give?\n{code}", f"And this?\n\n{code}", code]


def test_a_fence_around_a_list_is_in_no_entry():
    for titles in (False, True):
        assert parse_list("```\n1. Algebra\n2. Logic\n```\nDone.", titles=titles).entries == ["Algebra", "Logic"]
