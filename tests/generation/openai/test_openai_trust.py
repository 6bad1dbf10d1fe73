"""What a client gives away, and what it takes from a server."""

import pytest
from openai_prompts import KEY, PROMPTS, good
from stub_server import Reply, chat, error, serving

from lit_align.errors import ConfigError, ServiceError
from lit_align.generation.openai import OpenAIGenerator


def test_the_key_goes_to_the_server_and_nowhere_else(ask, tmp_path, monkeypatch):
    monkeypatch.setenv("MY_KEY", KEY)
    with serving(good) as server:
        ask(server.url, key_variable="MY_KEY")
        assert {headers["authorization"] for headers in server.headers} == {f"Bearer {KEY}"}
        server.behaviour = lambda body, times: error(401, f"wrong key {KEY}")
        with pytest.raises(ServiceError, match=r"wrong key \*\*\*") as stopped:
            ask(server.url, key_variable="MY_KEY", name="other.jsonl")
        assert KEY not in str(stopped.value)
    with serving(good) as server:  # the other one may still be reading requests that were given up
        ask(server.url, name="third.jsonl")
        assert all("authorization" not in headers for headers in server.headers)
    assert not [path for path in tmp_path.iterdir() if KEY in path.read_text()]


def test_a_key_that_goes_unencrypted_to_another_machine_is_mentioned(monkeypatch, capsys):
    from lit_align.generation.openai.access import read_key

    monkeypatch.setenv("MY_KEY", KEY)
    assert read_key("MY_KEY", "http://gpu-7:8000/v1") == KEY
    assert "gpu-7 unencrypted" in capsys.readouterr().err
    for url in ("http://localhost/v1", "http://[::1]:80/v1", "https://gpu-7/v1"):
        read_key("MY_KEY", url)
    assert capsys.readouterr().err == ""


def test_redirects_and_oversized_answers_are_not_followed(ask, monkeypatch):
    with serving(lambda body, times: Reply(status=307, headers={"Location": "http://127.0.0.1:1/"})) as server:
        with pytest.raises(ServiceError, match="it redirects"):
            ask(server.url)
        monkeypatch.setattr("lit_align.generation.openai.transport._LONGEST_BODY", 2**20)
        server.behaviour = lambda body, times: chat(body, content="x" * 2**21)
        with pytest.raises(ServiceError, match="the answer is larger than 1 MiB"):
            ask(server.url, PROMPTS[:1], attempts=1, name="other.jsonl")


@pytest.mark.parametrize("cookie", ["session=1", "\xe9=1"])
def test_no_cookie_is_taken(ask, cookie):
    busy = error(503, "busy", Set_Cookie=cookie)
    with serving(lambda body, times: chat(body) if times else busy) as server:
        assert ask(server.url, max_concurrency=2).samples == 20
        assert not any("cookie" in headers for headers in server.headers)


def test_proxies_of_the_environment_are_not_used(ask, monkeypatch):
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    monkeypatch.setenv("NO_PROXY", "")
    with serving(good) as server:
        assert ask(server.url).samples == 20


@pytest.mark.parametrize(
    ("options", "cause"),
    [
        ({"base_url": "http://user:pass@host/v1"}, "base_url holds a user name"),
        ({"base_url": "http://host/v1?api-key=pass"}, "base_url holds a user name"),
        ({"base_url": "host/v1"}, "must be an address"),
        ({"base_url": "http://host:port/v1"}, "is no address"),
        ({"proxy": "http://user:pass@proxy:3128"}, "proxy holds a user name"),
        ({"max_concurrency": 0}, "max_concurrency must be positive, got 0"),
        ({"min_concurrency": 65}, "min_concurrency 65 exceeds max_concurrency 64"),
        ({"read_timeout": float("nan")}, "read_timeout must be positive"),
        ({"extra": {"stream": True}}, "extra cannot set stream"),
        ({"max_spend": 1.0}, "max_spend needs prompt_price"),
        ({"prompt_price": -1.0}, "prices must not be negative"),
    ],
)
def test_options_that_cannot_work_are_refused_without_showing_secrets(options, cause):
    with pytest.raises(ConfigError, match=cause) as refused:
        OpenAIGenerator(**{"base_url": "http://host/v1", "model": "m", **options})
    assert "pass@" not in str(refused.value)
    assert "key=pass" not in str(refused.value)
