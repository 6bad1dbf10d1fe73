"""Reads what a server sent: a response, or what is wrong and whether another attempt could help."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Literal

from lit_align.generation.base import FinishReason

Kind = Literal["retry", "failed", "refused", "stop"]

_FINISH_REASONS: dict[str, FinishReason] = {
    "stop": "stop",
    "eos": "stop",
    "eos_token": "stop",
    "end_turn": "stop",
    "stop_sequence": "stop",
    "length": "length",
    "max_tokens": "length",
    "content_filter": "content_filter",
    "tool_calls": "tool_calls",
    "function_call": "tool_calls",
}
_STOP = {
    401: "no or a wrong key",
    402: "no credit",
    403: "not allowed",
    404: "no such address or model",
    405: "no POST",
}
_OVERLOADED = (408, 425, 429, 503, 504, 529)
_ABOUT_PROMPTS = (400, 403, 422)  # also how content filters answer
_REFUSALS = re.compile(
    r"context.?(length|window|size)|max_model_len|\b(prompt|input)s?\b.{0,60}(too long|exceed|longer than)"
    r"|content.?(filter|policy)|ResponsibleAIPolicy",
    re.IGNORECASE,
)
_LONGEST = 300


@dataclass(frozen=True, kw_only=True)
class Answer:
    """A response as the server sent it.

    Attributes:
        text: The response.
        finish_reason: Why it ended.
        prompt_tokens: Tokens of the prompt, if the server says.
        response_tokens: Tokens of the response, if the server says.
        served_by: What the server calls its model, and its fingerprint, where it says so.
    """

    text: str
    finish_reason: FinishReason
    prompt_tokens: int | None
    response_tokens: int | None
    served_by: dict[str, str]


@dataclass(frozen=True, kw_only=True)
class Fault:
    """An attempt without a response.

    Attributes:
        reason: What is wrong, in one line.
        kind: `retry`: another attempt may help. `failed`: not for this request as it is. `refused`: this prompt will
            never be answered. `stop`: no request will be.
        overloaded: Whether it is a sign of too many requests.
        after: Seconds that the server asks to wait.
        reached: Whether there was a server at all.
    """

    reason: str
    kind: Kind = "retry"
    overloaded: bool = False
    after: float | None = None
    reached: bool = True


def read_answer(status: int, headers: Mapping[str, str], body: bytes) -> Answer | Fault:
    """What an HTTP response says; header names in lower case.

    >>> read_answer(503, {"retry-after": "2"}, b"busy")
    Fault(reason='503: busy', kind='retry', overloaded=True, after=2.0, reached=True)
    """
    if 200 <= status < 300:
        return _read_body(body)
    message, code = _error(body)
    reason = one_line(f"{status}: {message}")
    if 300 <= status < 400:
        return Fault(reason=f"{status}: it redirects, which is not followed; give the final address", kind="stop")
    if status == 413 or (status in _ABOUT_PROMPTS and _REFUSALS.search(f"{code} {message}")):
        return Fault(reason=reason, kind="refused")
    if status in _STOP:
        return Fault(reason=f"{reason} ({_STOP[status]})", kind="stop")
    if code == "insufficient_quota":
        return Fault(reason=reason, kind="stop")
    if status >= 500 or status in (*_OVERLOADED, 409):
        return Fault(reason=reason, overloaded=status in _OVERLOADED, after=retry_after(headers.get("retry-after")))
    return Fault(reason=reason, kind="failed")


def retry_after(value: str | None, *, now: datetime | None = None) -> float | None:
    """The seconds of a `Retry-After` header, which is a number or a date; None without a usable one.

    >>> retry_after("Wed, 21 Oct 2026 07:28:10 GMT", now=datetime(2026, 10, 21, 7, 28, tzinfo=UTC))
    10.0
    """
    if value is None:
        return None
    if re.fullmatch(r"\s*\d+(\.\d+)?\s*", value):
        return float(value)
    try:
        when = parsedate_to_datetime(value)
    except ValueError:
        return None
    when = when if when.tzinfo else when.replace(tzinfo=UTC)
    return max(0.0, (when - (now or datetime.now(UTC))).total_seconds())


def one_line(text: str) -> str:
    """The text without line breaks and control characters, cut where it is long."""
    line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return line if len(line) <= _LONGEST else line[: _LONGEST - 3] + "..."


def context_of(body: bytes, model: str) -> int | None:
    """The context length of a model in the answer to `/models`, where the server tells."""
    value = _json(body)
    entries = value.get("data") if isinstance(value, dict) else None
    for entry in entries if isinstance(entries, list) else []:
        if isinstance(entry, dict) and entry.get("id") == model:
            return _count(entry.get("max_model_len")) or _count(entry.get("context_length"))
    return None


def _read_body(body: bytes) -> Answer | Fault:
    value = _json(body)
    if not isinstance(value, dict):
        return Fault(reason=f"the answer is no JSON object: {one_line(_text(body))[:80] or 'no text'}")
    if value.get("error"):
        return Fault(reason=one_line(f"the answer is an error: {_error(body)[0]}"))
    choices = value.get("choices")
    choice = choices[0] if isinstance(choices, list) and choices else None
    message = choice.get("message") if isinstance(choice, dict) else None
    if choice is None or not isinstance(message, dict):
        return Fault(reason="the answer has no choices")
    return _read_choice(choice, message, value)


def _read_choice(choice: dict[str, Any], message: dict[str, Any], value: dict[str, Any]) -> Answer | Fault:
    name = choice.get("finish_reason")
    reason = _FINISH_REASONS.get(name) if isinstance(name, str) else None
    if reason is None:
        return Fault(reason=f"the answer ended for an unknown reason: finish_reason {one_line(json.dumps(name))}")
    text = message.get("content")
    if text is None and (reason != "stop" or message.get("refusal")):
        text = message.get("refusal") or ""  # nothing was said before it was cut, or the model declines
    if not isinstance(text, str):
        return Fault(reason="the answer has no text")
    usage = _mapping(value.get("usage"))
    named = {"model": value.get("model"), "fingerprint": value.get("system_fingerprint")}
    return Answer(
        # Half of a UTF-16 pair, which JSON can spell, is no text: nothing could write it.
        text=text.encode("utf-16", "surrogatepass").decode("utf-16", "replace"),
        finish_reason=reason,
        prompt_tokens=_count(usage.get("prompt_tokens")),
        response_tokens=_count(usage.get("completion_tokens")),
        served_by={key: one_line(item) for key, item in named.items() if isinstance(item, str)},
    )


def _error(body: bytes) -> tuple[str, str]:
    """Message and code of an error in any of the usual shapes; the text itself where it has none."""
    value = _json(body)
    error = value.get("error", value.get("detail", value)) if isinstance(value, dict) else None
    if isinstance(error, dict):
        message = error.get("message") or error.get("detail") or json.dumps(error)
        return str(message), str(error.get("code") or error.get("type") or "")
    return (str(error), "") if error else (_text(body) or "no text", "")


def _json(body: bytes) -> Any:
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None


def _text(body: bytes) -> str:
    return body[:1000].decode("utf-8", "replace")


def _mapping(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _count(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None
