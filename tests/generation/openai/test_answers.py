"""What a server sent, read as a response or as a fault of the right kind."""

import json

import pytest
from stub_server import chat

from lit_align.generation.openai.answers import Answer, Fault, context_of, read_answer, retry_after

ASKED = {"messages": []}


def read(status: int, body: object, **headers: str) -> Answer | Fault:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return read_answer(status, {name.replace("_", "-"): value for name, value in headers.items()}, raw)


def with_choice(**choice: object) -> dict:
    return {"choices": [{"finish_reason": "stop", "message": {"content": "yes"}, **choice}]}


def test_a_response_comes_with_its_counts_and_what_the_server_calls_itself():
    body = {**json.loads(chat(ASKED).body), "system_fingerprint": "fp_1"}
    answer = read(200, body)
    assert isinstance(answer, Answer)
    assert (answer.prompt_tokens, answer.response_tokens) == (7, 3)
    assert answer.served_by == {"model": "stub-1", "fingerprint": "fp_1"}


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("stop", "stop"),
        ("eos_token", "stop"),
        ("length", "length"),
        ("content_filter", "content_filter"),
        ("tool_calls", "tool_calls"),
    ],
)
def test_finish_reasons_are_kept(name, reason):
    assert read(200, with_choice(finish_reason=name)).finish_reason == reason


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>login</html>",
        b'{"choices": [',
        b"[" * 100_000,
        json.dumps(with_choice()).encode() * 2,
        [],
        {"choices": []},
        {"choices": ["x"]},
        {"choices": [{"finish_reason": "stop"}]},
        with_choice(finish_reason=None),
        with_choice(finish_reason="abort"),
        with_choice(finish_reason=["stop"]),
        with_choice(message={"content": None}),
        with_choice(message={"content": [{"text": "x"}]}),
        {"error": {"message": "overloaded"}},
    ],
)
def test_an_answer_that_is_none_is_asked_for_again(body):
    fault = read(200, body)
    assert isinstance(fault, Fault)
    assert fault.kind == "retry"


def test_what_was_withheld_is_an_empty_response_and_half_a_character_is_replaced():
    assert read(200, with_choice(finish_reason="content_filter", message={"content": None})).text == ""
    half = read(200, b'{"choices": [{"finish_reason": "length", "message": {"content": "x\\ud83d"}}]}')
    assert half.text == "x\ufffd"
    whole = read(200, b'{"choices": [{"finish_reason": "stop", "message": {"content": "\\ud83d\\ude00"}}]}')
    assert whole.text == "\U0001f600"


@pytest.mark.parametrize(
    ("status", "message", "kind", "overloaded"),
    [
        (500, "boom", "retry", False),
        (502, "bad gateway", "retry", False),
        (503, "busy", "retry", True),
        (429, "slow down", "retry", True),
        (408, "too slow", "retry", True),
        (400, "This model's maximum context length is 128 tokens", "refused", False),
        (400, "The input (300 tokens) is longer than the model allows", "refused", False),
        (413, "no", "refused", False),
        (400, "temperature is odd", "failed", False),
        (400, "max_tokens is too large: 9000", "failed", False),
        (422, "Unexpected fields", "failed", False),
        (418, "teapot", "failed", False),
        (401, "who?", "stop", False),
        (403, "no", "stop", False),
        (404, "no model", "stop", False),
        (307, "", "stop", False),
    ],
)
def test_each_status_has_its_consequence(status, message, kind, overloaded):
    fault = read(status, {"error": {"message": message}})
    assert (fault.kind, fault.overloaded) == (kind, overloaded)
    assert str(status) in fault.reason


def test_an_accepted_request_without_an_answer_is_asked_again():
    assert isinstance(fault := read_answer(204, {}, b""), Fault)
    assert (fault.kind, fault.reason) == ("retry", "the answer is no JSON object: no text")


def test_the_code_of_an_error_counts_where_its_text_says_nothing():
    assert read(400, {"error": {"message": "sorry", "code": "content_filter"}}).kind == "refused"
    assert read(429, {"error": {"message": "sorry", "code": "insufficient_quota"}}).kind == "stop"


def test_error_messages_are_found_in_every_shape_and_stay_one_short_line():
    for body in ({"error": "bad\nnews"}, {"detail": "bad\nnews"}, {"message": "bad\nnews"}, b"bad\nnews"):
        assert read(500, body).reason == "500: bad news"
    assert len(read(500, b"\x1b[2J" + b"x" * 10_000).reason) == 300
    assert "\x1b" not in read(500, b"\x1b[2Jx").reason


def test_the_wait_that_a_server_asks_for_is_seconds_or_a_date():
    assert read(429, {}, retry_after="2.5").after == 2.5
    assert retry_after("Wed, 21 Oct 2015 07:28:00 GMT") == 0.0
    for odd in (None, "", "soon", "-3", "1e400"):
        assert retry_after(odd) is None


def test_the_context_is_read_where_a_server_tells():
    assert context_of(b'{"data": [{"id": "a", "max_model_len": 10}, {"id": "b"}]}', "a") == 10
    for body in (b"{}", b"<html>", b"[1]", b'{"data": 3}', b'{"data": [{"id": "a", "max_model_len": "x"}]}'):
        assert context_of(body, "a") is None
