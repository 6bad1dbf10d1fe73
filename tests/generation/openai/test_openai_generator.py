"""The client of a chat server: each sample once whatever the server does."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from openai_prompts import KEY, PROMPTS, good, prompt, read
from stub_server import Faulty, Reply, as_json, chat, error, serving

from lit_align.errors import DataError, ServiceError
from lit_align.generation.base import Request, Sampling
from lit_align.generation.openai import OpenAIGenerator
from lit_align.generation.rows import Generated


def test_each_sample_comes_once_from_a_server_with_faults(ask, tmp_path):
    many = [prompt(f"question {number}", number) for number in range(60)]
    sampling = Sampling(num_samples=2, max_new_tokens=5)
    with serving(good) as server:
        ask(server.url, many, sampling=sampling, name="calm.jsonl")
        server.behaviour = Faulty(slow=0.4)
        ask(server.url, many, sampling=sampling, attempts=20, read_timeout=0.3)
        assert len(server.bodies) > 120
    assert (tmp_path / "out.jsonl").read_bytes() == (tmp_path / "calm.jsonl").read_bytes()
    rows = read(tmp_path / "out.jsonl")
    assert len({(row["id"], row["sample"]) for row in rows}) == len(rows) == 120
    assert {path.name for path in tmp_path.iterdir()} == {"out.jsonl", "calm.jsonl"}


def test_a_row_names_what_was_sent(ask, tmp_path):
    sampling = Sampling(num_samples=3, max_new_tokens=5, temperature=0.7, top_p=0.9, seed=11)
    with serving(good) as server:
        result = ask(server.url, PROMPTS[:2], sampling=sampling, extra={"top_k": 5})
        sent = {body["seed"]: body for body in server.bodies}
        url = server.url
    rows = read(tmp_path / "out.jsonl")
    assert len(sent) == len(rows) == 6
    for row in rows:
        made, body = row["generator"], sent[row["generator"]["seed"]]
        assert body["messages"] == [{"role": "user", "content": row["prompt"]}]
        assert (body["temperature"], body["top_p"], body["max_tokens"], body["top_k"]) == (0.7, 0.9, 5, 5)
        assert "n" not in body
        assert made["model"] == {"name": "stub", "fingerprint": None}
        assert made["extra"] == {"top_k": 5}
        assert made["served_by"] == {"endpoint": url, "model": "stub-1"}
        assert (row["num_tokens"], row["finish_reason"]) == (3, "stop")
    assert result.mean_tokens == 3


def test_a_server_that_ignores_the_temperature_is_noticed(ask, capsys):
    with serving(lambda body, times: chat({**body, "seed": None})) as server:
        assert ask(server.url, PROMPTS[:3], sampling=Sampling(num_samples=2)).alike == 3
        assert "the same response 2 times" in capsys.readouterr().err
    with serving(good) as server:
        assert ask(server.url, PROMPTS[:3], name="b.jsonl", sampling=Sampling(num_samples=2)).alike == 0
        assert ask(server.url, PROMPTS[:3], name="c.jsonl").alike == 0
        assert "the same response" not in capsys.readouterr().err


def test_fields_that_a_server_does_not_know_can_be_left_out(ask):
    with serving(good) as server:
        ask(server.url, PROMPTS[:1], extra={"seed": None}, length_field="max_completion_tokens")
        (body,) = server.bodies
    assert "seed" not in body
    assert body["max_completion_tokens"] == 5
    assert "max_tokens" not in body


def test_what_fails_again_and_again_is_listed_and_only_that_is_tried_again(ask, tmp_path):
    def broken(body: dict[str, Any], times: int) -> Reply:
        return error(500, "boom") if body["messages"][0]["content"] in ("question 3", "question 5") else chat(body)

    with serving(broken) as server:
        with pytest.raises(ServiceError, match=r"2 of 20 responses failed, for example: 500: boom \(attempt 3\)"):
            ask(server.url, attempts=3)
        assert max(server.times.values()) == 3
        failed = read(tmp_path / "out.jsonl.failed.jsonl")
        assert {row["place"] for row in failed} == {"prompts.jsonl:3", "prompts.jsonl:5"}
        assert not (tmp_path / "out.jsonl").exists()
        server.behaviour = good
        server.bodies.clear()
        ask(server.url, attempts=3)
        assert sorted(body["messages"][0]["content"] for body in server.bodies) == ["question 3", "question 5"]
    assert len(read(tmp_path / "out.jsonl")) == 20
    assert {path.name for path in tmp_path.iterdir()} == {"out.jsonl"}


def test_an_output_can_be_finished_without_what_failed(ask, tmp_path):
    def broken(body: dict[str, Any], times: int) -> Reply:
        return error(500, "boom") if body["messages"][0]["content"] == "question 3" else chat(body)

    with serving(broken) as server:
        result = ask(server.url, attempts=2, max_failed=0.01)
        assert (result.prompts, result.refused) == (19, 1)
        (refused,) = read(tmp_path / "out.jsonl.refused.jsonl")
        assert refused["place"] == "prompts.jsonl:3"
        server.bodies.clear()
        assert ask(server.url, attempts=2) == result
        assert not server.bodies


def test_more_failures_than_may_be_stop_and_are_tried_again(ask, tmp_path):
    def broken(body: dict[str, Any], times: int) -> Reply:
        return error(500, "boom") if body["messages"][0]["content"] in ("question 3", "question 5") else chat(body)

    with serving(broken) as server:
        with pytest.raises(ServiceError, match=r"2 of 20 .*\n.*\n.*`max_failed`.*now 0\.05") as stopped:
            ask(server.url, attempts=1, max_failed=0.05)
        assert len(str(stopped.value).splitlines()) <= 6
        assert ask(server.url, attempts=1, max_failed=0.1).refused == 2
    assert len(read(tmp_path / "out.jsonl")) == 18


def test_an_update_in_the_middle_does_not_lose_what_a_server_said(ask, monkeypatch):
    def broken(body: dict[str, Any], times: int) -> Reply:
        return error(500, "boom") if body["messages"][0]["content"] == "question 3" else chat(body)

    with serving(broken) as server:
        with pytest.raises(ServiceError):
            ask(server.url, attempts=1)
        server.behaviour = good
        server.bodies.clear()
        monkeypatch.setattr("lit_align.generation.openai.generator.version", lambda package: "99")
        ask(server.url)
        assert len(server.bodies) == 1


@pytest.mark.parametrize(("number", "share"), [(1, 0.9), (2, 0.9), (1, 0.0)])
def test_a_server_that_answers_nothing_is_an_error_whatever_may_fail(ask, number, share):
    failed = pytest.raises(ServiceError, match=f"{number} of {number} responses failed")
    with serving(lambda body, times: error(500, "boom")) as server, failed:
        ask(server.url, PROMPTS[:number], attempts=1, max_failed=share)


def test_a_filter_that_forbids_a_prompt_stops_no_other(ask, tmp_path):
    def strict(body: dict[str, Any], times: int) -> Reply:
        if body["messages"][0]["content"] == "question 3":
            return error(403, "The request violates our content policy")
        return chat(body)

    with serving(strict) as server:
        assert ask(server.url).refused == 1
    (refused,) = read(tmp_path / "out.jsonl.refused.jsonl")
    assert refused["reason"] == "403: The request violates our content policy"


def test_a_prompt_that_the_server_finds_too_long_is_left_out_for_good(ask, tmp_path, capsys):
    def strict(body: dict[str, Any], times: int) -> Reply:
        if body["messages"][0]["content"] == "question 3":
            return error(400, "maximum context length is 8 tokens", code="context_length_exceeded")
        return chat(body)

    with serving(strict) as server:
        result = ask(server.url, sampling=Sampling(num_samples=2, max_new_tokens=5), max_concurrency=1)
        assert sum(body["messages"][0]["content"] == "question 3" for body in server.bodies) == 1
        server.bodies.clear()
        assert ask(server.url, sampling=Sampling(num_samples=2, max_new_tokens=5)) == result
        assert not server.bodies
    assert (result.prompts, result.refused, result.samples) == (19, 1, 38)
    (refused,) = read(tmp_path / "out.jsonl.refused.jsonl")
    assert "maximum context length is 8 tokens" in refused["reason"]
    assert "38 responses to the same request; nothing to do" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "models"),
    [({"context": 20}, as_json({})), ({}, as_json({"data": [{"id": "stub", "max_model_len": 20}]}))],
)
def test_prompts_that_exceed_the_context_are_not_sent(ask, tmp_path, options, models):
    prompts = [*PROMPTS[:3], prompt("long " * 100, 4)]
    with serving(good, models=models) as server:
        assert ask(server.url, prompts, **options).refused == 1
        assert len(server.bodies) == 3
    (refused,) = read(tmp_path / "out.jsonl.refused.jsonl")
    assert refused["reason"].startswith("125 tokens of prompt and 5 of max_new_tokens exceed the model's context of 20")
    assert "estimated" in refused["reason"]


def test_a_tokenizer_counts_the_tokens(ask, model_folder, tmp_path):
    prompts = [prompt("the quick brown fox"), prompt("the quick brown fox " * 5)]
    with serving(good) as server:
        assert ask(server.url, prompts, context=60, tokenizer=str(model_folder)).refused == 1
    (refused,) = read(tmp_path / "out.jsonl.refused.jsonl")
    assert f"counted by {model_folder}" in refused["reason"]


def test_no_prompt_that_fits_is_an_error_before_anything_is_sent(ask):
    with serving(good) as server:
        with pytest.raises(DataError, match="none of 20 prompts can be answered"):
            ask(server.url, context=6)
        assert not server.bodies


@pytest.mark.parametrize("status", [401, 403, 404])
def test_what_no_repetition_helps_stops_at_once(ask, tmp_path, status):
    with serving(lambda body, times: error(status, f"no, not with {KEY}")) as server:
        with pytest.raises(ServiceError, match=str(status)) as stopped:
            ask(server.url, max_concurrency=2)
        assert len(server.bodies) <= 2
    assert "0 of 20 responses are in" in str(stopped.value)


def test_another_address_continues_what_one_began(ask, tmp_path):
    def first_ten(body: dict[str, Any], times: int) -> Reply:
        return chat(body) if int(body["messages"][0]["content"].split()[1]) <= 10 else error(403, "enough")

    with serving(first_ten) as one, pytest.raises(ServiceError):
        ask(one.url, max_concurrency=1)
    with serving(good) as other:
        ask(other.url)
        assert len(other.bodies) == 10
    rows = read(tmp_path / "out.jsonl")
    assert [row["generator"]["served_by"]["endpoint"] for row in rows] == [one.url] * 10 + [other.url] * 10


def test_it_works_where_an_event_loop_is_running_already(ask):
    async def notebook() -> Generated:
        return ask(server.url)

    with serving(good) as server:
        assert asyncio.run(notebook()).samples == 20


def test_a_file_that_was_not_served_to_the_end_says_how_to_go_on(ask):
    request = Request(key="x", prompt=PROMPTS[0].prompt)
    generator = OpenAIGenerator(base_url="http://127.0.0.1:1/v1", model="m")
    assert generator.refusal(request, sampling=Sampling()) is None
    with pytest.raises(ServiceError, match=r"0 of 20 responses are in .*part\.jsonl; the same command continues there"):
        ask("http://127.0.0.1:1/v1")


def test_the_documented_script_asks_once_and_parses_again(tmp_path, monkeypatch):
    page = Path(__file__).resolve().parents[3] / "docs" / "generation.md"
    script = page.read_text(encoding="utf-8").partition("```python\n")[2].partition("```")[0]
    monkeypatch.chdir(tmp_path)
    (tmp_path / "prompts.jsonl").write_text('{"prompt": "one"}\n{"prompt": "two"}\n')
    with serving(good) as server:
        script = script.replace("http://127.0.0.1:8000/v1", server.url)
        exec(script, {})
        assert len(server.bodies) == 2
    found: dict[str, Any] = {}
    exec(script, found)  # the server is gone
    assert [len(words) for words in found["words"]] == [2, 2]
