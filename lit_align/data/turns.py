"""Conversations: validated from strings and message lists, compared and split."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from lit_align.data import values
from lit_align.data.rows import Conversation, Dropped, Message
from lit_align.errors import DataError

_ROLES = ("system", "user", "assistant", "tool")


def same_turns(one: Conversation, other: Conversation) -> bool:
    """Whether two conversations have the same roles and, up to blanks at their edges, the same contents."""
    return [(m.role, m.content.strip()) for m in one] == [(m.role, m.content.strip()) for m in other]


def conversation(value: Any, *, key: str, place: str) -> Conversation:
    """A string (one user turn), one message or a list of messages, validated; None is no message at all.

    Raises:
        DataError: A message is not an object, its role unknown or its content not text.
    """
    if value is None:
        return ()
    if isinstance(value, str):
        return (Message(role="user", content=values.text(value, key=key, place=place)),)
    items = [value] if isinstance(value, Mapping) else value
    if not isinstance(items, list | tuple):
        raise DataError(f"{place}: `{key}` must be a string or a list of messages, found {values.type_name(value)}")
    return tuple(_message(item, key=f"{key}[{index}]", place=place) for index, item in enumerate(items))


def _message(item: Any, *, key: str, place: str) -> Message:
    if not isinstance(item, Mapping):
        raise DataError(f"{place}: `{key}` must be an object with `role` and `content`, found {values.type_name(item)}")
    role, train = item.get("role"), item.get("train")
    if role not in _ROLES:
        raise DataError(f"{place}: `{key}.role` is {values.shorten(repr(role), 60)}; known roles: {', '.join(_ROLES)}")
    if item.get("tool_calls") or item.get("function_call"):
        raise DataError(f"{place}: `{key}` has tool calls, which are not supported; write them as text into `content`")
    if not isinstance(train, bool | None):
        raise DataError(f"{place}: `{key}.train` must be true or false, found {values.type_name(train)}")
    content = values.content(item.get("content"), key=f"{key}.content", place=place)
    return Message(role=role, content=content, train=train)


def response(value: Any, *, key: str, place: str) -> str:
    """A response: a string, or its assistant message; null counts as empty and is dropped."""
    if isinstance(value, Mapping | list):
        turns = conversation(value, key=key, place=place)
        if len(turns) != 1 or turns[0].role != "assistant":
            raise DataError(f"{place}: `{key}` must be a string or one assistant message")
        value = turns[0].content
    text = "" if value is None else values.text(value, key=key, place=place)
    if values.is_blank(text):
        raise Dropped("empty_response")
    return text


def filled(prompt: Conversation) -> Conversation:
    """The prompt itself; drops the row where nothing in it is readable."""
    if all(values.is_blank(message.content) for message in prompt):
        raise Dropped("empty_prompt")
    return prompt


def split_last(turns: Conversation, *, key: str, place: str) -> tuple[Conversation, str]:
    """The turns before the last one, and the last one's text, which must be the assistant's."""
    if not turns:
        raise Dropped("empty_response")
    if turns[-1].role != "assistant":
        raise DataError(f"{place}: `{key}` ends with a {turns[-1].role} turn; the assistant's response is missing")
    if values.is_blank(turns[-1].content):
        raise Dropped("empty_response")
    return turns[:-1], turns[-1].content


def answered(prompt: Conversation, response: str) -> Conversation:
    """A conversation in which only the response is learned: assistant turns inside a prompt are context."""
    context = tuple(replace(turn, train=False) if turn.role == "assistant" else turn for turn in prompt)
    return (*context, Message(role="assistant", content=response))
