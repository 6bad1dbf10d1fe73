"""`lit-align data tag`: every row stays, its tags are told once a prompt, and a stopped command continues."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from lit_align.cli.main import main
from lit_align.generation.base import Generator, Sample

_ASKED = re.compile(r"<conversation-(\w+)>\n(.*)\n</conversation-\1>", re.DOTALL)
_TAGS = {
    "How many grams is a cup of flour?": {"tags": ["Unit_Conversion", "cooking"], "topic": "food", "difficulty": 2},
    "Write a haiku.": {"tags": ["haiku"], "topic": "Poetry", "difficulty": 1, "quality": 5},
    "Add 2 and 3.": {"tags": ["arithmetic"], "difficulty": 9},
}
TURNS = [
    {"role": "user", "content": "Write a haiku."},
    {"role": "assistant", "content": "Rain on the old roof."},
]
ROWS: list[dict[str, Any]] = [
    {"messages": TURNS, "meta": {"task": "poems"}, "licence": "MIT"},
    {"messages": [{"role": "user", "content": "write  a haiku."}, TURNS[1]]},
    {"instruction": "Add 2 and 3.", "input": "", "output": "5"},
    {"prompt": "Say nothing.", "response": ""},
    {"prompt": "Nobody knows.", "response": "So?"},
    {"prompt": "Far too long.", "response": "So?"},
    {"prompt": "How many grams is a cup of flour?", "response": "125"},
]


class Tagger(Generator):
    """Tells the tags of the prompts that it knows; stops after a number of them."""

    def __init__(self, stops_after: int = 1000) -> None:
        self.asked: list[str] = []
        self.stops_after = stops_after

    @property
    def where(self):
        return "here"

    def describe(self, sampling):
        return {"model": {"name": "tagger"}, "sampling": {}, "engine": "rule", "versions": {}}

    def refusal(self, request, *, sampling):
        return "too long" if "Far too long." in request.prompt[-1].content else None

    def generate(self, requests, *, sampling, on_result, on_failure, done=()):
        for request in requests:
            if (request.key, 0) in set(done):
                continue
            if len(self.asked) == self.stops_after:
                raise KeyboardInterrupt
            prompt = _ASKED.search(request.prompt[-1].content)[2]
            self.asked.append(prompt)
            known = next((tags for text, tags in _TAGS.items() if text.casefold() == prompt.casefold()), None)
            text = "I do not know." if known is None else f"```json\n{json.dumps(known)}\n```"
            on_result(Sample(key=request.key, index=0, text=text, num_tokens=9, finish_reason="stop"))

    def status(self):
        return ""


def write(path: Path, rows: list[dict[str, Any]]) -> str:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def read(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.fixture
def tag(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch):
    source, output = write(tmp_path / "rows.jsonl", ROWS), tmp_path / "tagged.jsonl"

    def run(*arguments: str, generator: Generator | None = None, file: str = source) -> tuple[int, list[dict], str]:
        if generator is not None:
            monkeypatch.setattr("lit_align.commands.tag.chosen_generator", lambda *given: generator)
        code = main(["data", "tag", file, "--output", str(output), *arguments])
        out, err = capsys.readouterr()
        return code, read(output) if output.exists() else [], err + out

    return run


def test_every_row_stays_and_has_its_tags_where_they_could_be_had(tag):
    generator = Tagger()
    code, rows, said = tag("--model", "any", "--json", generator=generator)
    assert code == 0
    untagged = {"empty_response": 1, "no_tags": 1, "refused": 1}
    assert json.loads(said.splitlines()[-1]) == {"read": 7, "tagged": 4, "untagged": untagged}
    assert [row.get("tags") for row in rows] == [
        ["haiku"],
        ["haiku"],
        ["arithmetic"],
        None,
        None,
        None,
        ["unit conversion", "cooking"],
    ]
    assert rows[0]["meta"] == {"task": "poems", "topic": "poetry", "difficulty": 1, "quality": 5}
    assert [row.get("meta") for row in rows[2:]] == [None, None, None, None, {"topic": "food", "difficulty": 2}]
    assert [{k: v for k, v in row.items() if k not in ("tags", "meta")} for row in rows] == [
        {k: v for k, v in row.items() if k != "meta"} for row in ROWS
    ]
    # The same prompt, up to case and blanks, is asked about once.
    assert len(generator.asked) == 4


def test_a_stopped_command_asks_for_the_rest(tag):
    first, second = Tagger(stops_after=2), Tagger()
    code, rows, _ = tag("--model", "any", generator=first)
    assert (code, rows) == (75, [])
    code, rows, _ = tag("--model", "any", generator=second)
    assert (code, len(rows)) == (0, 7)
    assert (len(first.asked), len(second.asked)) == (2, 2)
    assert tag("--model", "any", generator=(third := Tagger()))[0] == 0
    assert third.asked == []


def test_rules_tag_without_a_model(tag):
    code, rows, said = tag("--by", "rules", "--json")
    assert code == 0
    assert json.loads(said.splitlines()[-1])["untagged"] == {"no_tags": 4, "empty_response": 1}
    assert [row["tags"] for row in rows if "tags" in row] == [["creative writing"], ["creative writing"]]
    assert tag("--by", "rules", "--model", "any")[0] == 2
    assert tag()[0] == 2


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"prompt": "Hi", "tags": ["x"]}, "rows.jsonl:1: the row has `tags` already"),
        ({"prompt": "Hi", "meta": "x"}, "rows.jsonl:1: `meta` must be an object"),
        ({"prompt": "Hmm"}, r"no row of 1 got a tag: {'no_tags': 1}"),
        ({"prompt": "Hi \ud800"}, "rows.jsonl:1: a string holds half of a UTF-16 pair"),
    ],
)
def test_what_cannot_be_tagged_is_an_error_that_names_the_place(tag, tmp_path: Path, row, message: str):
    file = write(tmp_path / "rows.jsonl", [row])
    code, rows, said = tag("--by", "rules", file=file)
    assert (code, rows) == (3, [])
    assert message in said


def test_the_question_may_be_ones_own(tag, tmp_path: Path):
    question = tmp_path / "mine.txt"
    question.write_text("At most {most}:\n{conversation:fenced}")
    generator = Tagger()
    assert tag("--model", "any", "--question", str(question), generator=generator)[0] == 0
    (first, *_) = read(tmp_path / "tagged.jsonl.tags.jsonl")
    assert first["prompt"].startswith("At most 8:\n<conversation-")
    question.write_text("No slots.")
    code, _, said = tag("--model", "any", "--question", str(question), generator=generator)
    assert code == 2
    assert "lacks {conversation}, {most}" in said


def test_tagged_rows_can_be_sampled_shown_and_put_on_a_card(tag, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    tag("--model", "any", generator=Tagger())
    tagged = str(tmp_path / "tagged.jsonl")
    sampled, page = tmp_path / "sampled.jsonl", tmp_path / "card.html"
    # The most complex row first, then one with other tags; the three haikus and sums wait.
    assert main(["data", "clean", tagged, "--output", str(sampled), "--sample", "1"]) == 0
    assert [row["tags"] for row in read(sampled)] == [["unit conversion", "cooking"]]
    assert main(["data", "card", tagged, "--output", str(page)]) == 0
    text = page.read_text()
    assert all(word in text for word in ("haiku", "unit conversion", "poetry", "Difficulty"))
    capsys.readouterr()
    assert main(["data", "show", tagged, "--row", "1"]) == 0
    shown = capsys.readouterr().out
    assert "tags  topic poetry  difficulty 1  quality 5\n  haiku\n" in shown
    assert "tags: [" not in shown
