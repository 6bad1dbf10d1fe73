"""Rounds of questions that are kept in files."""

import json

import pytest

from lit_align.errors import ConfigError, ServiceError
from lit_align.generation.base import Failure, Generator, Sample, Sampling
from lit_align.synthesis.asking import Ask, FileAsk

SAMPLING = {"model": Sampling(), "judge": Sampling(temperature=0)}


class Echo(Generator):
    """Says who it is and what it was asked; counts how often, and fails at what says so."""

    def __init__(self, name):
        self.name = name
        self.asked = 0

    @property
    def where(self):
        return "here"

    def describe(self, sampling):
        return {"model": {"name": self.name}, "sampling": {}, "engine": "echo", "versions": {}}

    def refusal(self, request, *, sampling):
        return "too long" if len(request.prompt[-1].content) > 20 else None

    def generate(self, requests, *, sampling, on_result, on_failure, done=()):
        for request in requests:
            if (request.key, 0) not in done:
                self.asked += 1
                if request.prompt[-1].content.startswith("fail"):
                    on_failure(Failure(key=request.key, index=0, reason="boom"))
                    continue
                text = f"{self.name}: {request.prompt[-1].content}"
                on_result(Sample(key=request.key, index=0, text=text, num_tokens=2, finish_reason="stop"))

    def status(self):
        return ""


def rows(*texts):
    return [{"prompt": [{"role": "user", "content": text}], "item": {"id": text}, "template": "t"} for text in texts]


def test_every_round_is_kept_and_a_repeated_run_asks_only_for_the_rest(tmp_path):
    one, other = Echo("one"), Echo("other")
    ask = FileAsk(folder=tmp_path, generators={"model": one, "judge": other}, sampling=SAMPLING)
    assert isinstance(ask, Ask)
    first = ask("00-first", rows("a", "b"))
    assert [row["response"] for row in first] == ["one: a", "one: b"]
    assert [(row["item"]["id"], row["template"], row["sample"]) for row in first] == [("a", "t", 0), ("b", "t", 0)]
    assert [row["response"] for row in ask("01-second", rows("a"), role="judge")] == ["other: a"]
    assert ask("00-first", rows("a", "b")) == first
    assert (one.asked, other.asked) == (2, 1)
    with pytest.raises(ConfigError, match="overwrite"):
        ask("00-first", rows("a", "c"))


def test_a_refused_prompt_is_missing_and_listed(tmp_path):
    ask = FileAsk(folder=tmp_path, generators={"model": Echo("one")}, sampling=SAMPLING)
    assert [row["item"]["id"] for row in ask("00", rows("a", "much too long for this model"))] == ["a"]
    refused = [json.loads(line) for line in (tmp_path / "00.jsonl.refused.jsonl").read_text().splitlines()]
    assert [(row["place"], row["reason"]) for row in refused] == [("00:2", "too long")]


def test_where_every_prompt_is_refused_there_is_no_response(tmp_path):
    ask = FileAsk(folder=tmp_path, generators={"model": Echo("one")}, sampling=SAMPLING)
    assert ask("00", rows("much too long for this model")) == []
    assert (ask.made["00"].samples, ask.made["00"].refused) == (0, 1)


def test_the_same_question_in_another_round_is_drawn_anew(tmp_path):
    ask = FileAsk(folder=tmp_path, generators={"model": Echo("one")}, sampling=SAMPLING)
    first, second = ask("00", rows("a")), ask("01", rows("a"))
    assert first[0]["id"] == second[0]["id"]
    assert first[0]["generator"]["seed"] != second[0]["generator"]["seed"]


def test_a_few_failures_are_missing_and_more_stop_the_round(tmp_path):
    options = {"folder": tmp_path, "generators": {"model": Echo("one")}, "sampling": SAMPLING}
    some = FileAsk(**options)
    assert [row["item"]["id"] for row in some("00", rows("a", "fail"))] == ["a"]
    assert (some.made["00"].samples, some.made["00"].refused) == (1, 1)
    with pytest.raises(ServiceError, match="2 of 4 responses failed"):
        some("01", rows("a", "b", "fail 1", "fail 2"))
    assert len(FileAsk(**options, max_failed={"model": 0.5})("01", rows("a", "b", "fail 1", "fail 2"))) == 2
    with pytest.raises(ServiceError):
        FileAsk(**options, max_failed={"model": 0.0})("02", rows("a", "fail"))
