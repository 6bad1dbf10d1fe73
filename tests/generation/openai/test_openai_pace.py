"""How often and how long a client of a chat server asks, and for how much."""

import asyncio
import socket
import time
from itertools import pairwise
from typing import Any

import pytest
from openai_prompts import PROMPTS, good, prompt, read
from stub_server import Reply, chat, error, serving

from lit_align.errors import ServiceError
from lit_align.generation.base import Sampling
from lit_align.generation.openai import OpenAIGenerator
from lit_align.generation.rows import generate_rows


def test_a_server_that_is_not_there_is_an_error_at_once(ask):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}/v1"
    began = time.monotonic()
    with pytest.raises(ServiceError, match="Is the server running"):
        ask(url)
    assert time.monotonic() - began < 2


def test_a_server_that_has_gone_is_knocked_at_ever_more_seldom(tmp_path):
    with serving(good) as server:
        generator = OpenAIGenerator(base_url=server.url, model="stub", patience=0.5, max_concurrency=4)
        server.behaviour = lambda body, times: server.close() or Reply(sent=0.0)
        with pytest.raises(ServiceError, match="nothing but faults"):
            generate_rows(PROMPTS, generator=generator, output=tmp_path / "x.jsonl", sampling=Sampling())
    assert 4 <= int(generator.status().split()[0]) < 120


def test_a_server_that_only_fails_is_given_up(ask):
    with (
        serving(lambda body, times: error(503, "loading")) as server,
        pytest.raises(ServiceError, match=r"nothing but faults for .* s; the last: 503: loading"),
    ):
        ask(server.url, patience=0.2, attempts=10_000)


def test_a_server_that_rejects_every_request_is_not_asked_for_all(ask):
    many = [prompt(f"question {number}", number) for number in range(100)]
    with serving(lambda body, times: error(422, "Unexpected fields: top_k")) as server:
        with pytest.raises(ServiceError, match="it rejects every request: 422: Unexpected fields: top_k"):
            ask(server.url, many, max_concurrency=1)
        assert len(server.bodies) == 8


def test_a_wait_that_the_server_asks_for_is_kept_by_all(ask):
    asked: list[float] = []

    def limited(body: dict[str, Any], times: int) -> Reply:
        asked.append(time.monotonic())
        return error(429, "slow down", retry_after="1") if len(asked) == 5 else chat(body)

    with serving(limited) as server:
        ask(server.url, [*PROMPTS, prompt("one more")], max_concurrency=2)
    gaps = [later - earlier for earlier, later in pairwise(asked)]
    assert sum(gap > 0.8 for gap in gaps) == 1
    assert len(asked) == 22


def test_a_wait_longer_than_patience_ends_the_command(ask):
    with (
        serving(lambda body, times: error(429, "quota", retry_after="3600")) as server,
        pytest.raises(ServiceError, match="it asks to wait 3600 s"),
    ):
        ask(server.url)


def test_concurrency_follows_what_the_server_bears(ask):
    many = [prompt(f"question {number}", number) for number in range(200)]

    def small(body: dict[str, Any], times: int) -> Reply:
        return Reply(delay=0.05, body=chat(body).body) if server.busy <= 12 else error(429, "too many")

    with serving(small) as server:
        ask(server.url, many, max_concurrency=32, attempts=100)
        refused = len(server.bodies) - 200
    assert 9 <= server.most_busy <= 32
    assert refused < 100


def test_the_window_halves_once_a_burst_and_recovers():
    from lit_align.generation.openai.window import Window

    async def run() -> None:
        window = Window(least=1, most=16)
        for _ in range(200):
            window.grow()
        assert window.size == 16
        sent = time.monotonic()
        for _ in range(10):
            window.shrink(sent=sent)
        assert window.size == 8
        for _ in range(20):
            window.shrink(sent=time.monotonic())
        assert window.size == 1
        for _ in range(8):
            window.grow()
        assert window.size > 3

    asyncio.run(run())


def test_tokens_and_spend_are_counted_and_limited(ask, tmp_path, capsys):
    with serving(good) as server:
        generator = OpenAIGenerator(base_url=server.url, model="stub", prompt_price=1e6, response_price=2e6)
        generate_rows(PROMPTS, generator=generator, output=tmp_path / "x.jsonl", sampling=Sampling())
        assert generator.status() == "140 + 60 tokens, 260.00 spent"
        with pytest.raises(ServiceError, match=r"26\.00 is spent, and max_spend is 20"):
            ask(server.url, prompt_price=1e6, response_price=2e6, max_spend=20, max_concurrency=1)
    assert len(read(tmp_path / "out.jsonl.part.jsonl")) == 3
