"""Rows of well-known data sets, recognised by their columns and rewritten with the native ones.

The native columns are `messages`, `prompt`, `response`, `text`, `chosen`, `rejected`, `chosen_reward`,
`rejected_reward`, `strength`, `responses`, `rewards`, `ratings`; `records` validates them.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from lit_align.errors import DataError

_RENAMED = {
    "response": ("output", "completion", "answer"),  # Alpaca; TRL; GSM8K
    "chosen_reward": ("score_chosen", "chosen_score"),  # UltraFeedback-binarized
    "rejected_reward": ("score_rejected", "rejected_score"),
    "rewards": ("scores",),
}
RENAMED_COLUMNS = tuple(name for foreign in _RENAMED.values() for name in foreign)
STRENGTHS = {"significantly better": 3.0, "better": 2.0, "slightly better": 1.0, "negligibly better": 0.5}
"""How much better the chosen response is, in the words of Llama 2 (arXiv:2307.09288, table 27), as numbers.

Annotators who are unsure (`negligibly better / unsure`) have still chosen one, so that label is no tie.
"""
_UNSURE = re.compile(r"\s*/\s*unsure$")
# The columns that hold the prompt, by the first one; the first group whose first column is filled counts.
_PROMPT_COLUMNS = (
    ("prompt",),
    ("messages",),
    ("conversations", "system"),
    ("instruction", "input", "context"),
    ("question",),
)
_SHAREGPT_ROLES = {
    "human": "user",
    **dict.fromkeys(("gpt", "chatgpt", "bing", "bard"), "assistant"),
    "observation": "tool",
}
_HH_TURN = re.compile(r"\n\n(Human|Assistant):")
# NVIDIA's turn markers; one line break before and one after belong to the marker.
_EXTRA_ID_TURN = re.compile(r"(?:\A|\n)<extra_id_[01]>(System|User|Assistant)(?=\n|\Z)")
_ROLES = {"Human": "user", "User": "user", "Assistant": "assistant", "System": "system"}
_NO_INPUT = {"none", "<none>", "n/a", "<n/a>"}


def to_native(raw: Mapping[str, Any], *, place: str) -> dict[str, Any]:
    r"""A copy of the row with the columns of known data sets rewritten; every other row comes back as it is.

    >>> to_native({"instruction": "Add.", "input": "1 2", "output": "3"}, place="a.jsonl:1")
    {'response': '3', 'prompt': 'Add.\n\n1 2'}

    Raises:
        DataError: Where a column of a recognised data set has the wrong type.
    """
    row = dict(raw)
    _rename(row)
    _read_sharegpt(row, place)
    _read_instruction(row, place)
    _read_turns(row)
    _read_strength(row)
    for key in ("prompt", "chosen", "rejected"):
        if isinstance(row.get(key), str):
            row[key] = _turns(row[key], is_prompt=key == "prompt")
    return row


def choose_columns(
    row: Mapping[str, Any], forms: Sequence[tuple[str, ...]], *, kind: str, place: str
) -> tuple[str, ...]:
    """The first form whose columns are all filled, else all present (Arrow fills absent columns with null).

    Raises:
        DataError: The row has the columns of none of them.
    """
    for form in forms:
        if all(row.get(column) is not None for column in form):
            return form
    for form in forms:
        if all(column in row for column in form):
            return form
    wanted = " or ".join(" + ".join(f"`{column}`" for column in form) for form in forms)
    found = ", ".join(map(repr, list(row)[:20])) or "none"
    raise DataError(f"{place}: a row of kind {kind} needs the columns {wanted}\nColumns found: {found}")


def prompt_columns(raw: Mapping[str, Any]) -> tuple[str, ...]:
    """The columns of a row that its prompt is read from; empty where it is the shared turns of chosen and rejected."""
    for group in _PROMPT_COLUMNS:
        if raw.get(group[0]) is not None:
            return group
    return ()


def _rename(row: dict[str, Any]) -> None:
    for native, foreign in _RENAMED.items():
        for name in foreign:
            if name in row and row.get(native) is None:
                row[native] = row.pop(name)


def _read_sharegpt(row: dict[str, Any], place: str) -> None:
    if row.get("conversations") is None or row.get("messages") is not None:
        return
    turns = row.pop("conversations")
    if not isinstance(turns, list) or not all(isinstance(turn, Mapping) for turn in turns):
        raise DataError(f"{place}: `conversations` must be a list of objects with `from` and `value`")
    messages = [_sharegpt_message(turn) for turn in turns]
    if row.get("system"):
        messages.insert(0, {"role": "system", "content": row["system"]})
    row["messages"] = messages


def _sharegpt_message(turn: Mapping[str, Any]) -> dict[str, Any]:
    if "from" not in turn:
        return dict(turn)
    message = {key: value for key, value in turn.items() if key not in ("from", "value")}
    role = turn["from"]
    message["role"] = _SHAREGPT_ROLES.get(role, role) if isinstance(role, str) else role
    message["content"] = turn.get("value")
    return message


def _read_instruction(row: dict[str, Any], place: str) -> None:
    """Alpaca (`instruction`, `input`), Dolly (`instruction`, `context`) and GSM8K (`question`) to `prompt`."""
    if row.get("prompt") is not None or row.get("messages") is not None:
        return
    if row.get("instruction") is None:
        if "question" in row:
            row["prompt"] = row.pop("question")
        elif "instruction" in row:
            row["prompt"] = row.pop("instruction")
        return
    parts = [_text(row, "instruction", place)]
    parts += [text for key in ("input", "context") if (text := _text(row, key, place)).strip() and not _says_none(text)]
    row["prompt"] = "\n\n".join(parts) if parts[0].strip() else ""
    for key in ("instruction", "input", "context"):
        row.pop(key, None)


def _read_turns(row: dict[str, Any]) -> None:
    """MT-Bench: the first of the user's `turns` is the prompt; all of them stay, for who asks the others."""
    if any(row.get(key) is not None for key in ("prompt", "messages", "chosen")):
        return
    turns = row.get("turns")
    if isinstance(turns, list) and turns and isinstance(turns[0], str):
        row["prompt"] = turns[0]


def _read_strength(row: dict[str, Any]) -> None:
    """Words for a strength as their number; any other text is left for the validator to refuse."""
    if isinstance(given := row.get("strength"), str):
        words = _UNSURE.sub("", " ".join(given.lower().replace("_", " ").split()))
        row["strength"] = STRENGTHS.get(words) or STRENGTHS.get(f"{words} better", given)


def _text(row: Mapping[str, Any], key: str, place: str) -> str:
    value = row.get(key)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise DataError(f"{place}: `{key}` must be a string, found {type(value).__name__}")
    return value


def _says_none(text: str) -> bool:
    """Alpaca's generator wrote "No input", "<noinput>." and the like into rows without input."""
    lowered = text.strip().lower()
    return lowered in _NO_INPUT or re.sub(r"[^a-z]", "", lowered) in ("noinput", "noinputs")


def _turns(text: str, *, is_prompt: bool) -> str | list[dict[str, str]]:
    """The turns of a string that carries turn markers; the string itself where it has none."""
    turns = _hh_turns(text)
    if turns is None and is_prompt:
        turns = _extra_id_turns(text)
    if turns is None:
        return text
    if is_prompt and turns and turns[-1]["role"] == "assistant" and not turns[-1]["content"].strip():
        turns.pop()  # the bare "Assistant:" that asks for the response
    return turns


def _hh_turns(text: str) -> list[dict[str, str]] | None:
    stripped = text.lstrip()
    if not stripped.startswith("Human:") or not (text.startswith("\n\n") or "\n\nAssistant:" in text):
        return None
    pieces = _HH_TURN.split("\n\n" + stripped)
    # White space around a turn belongs to the markers: "Human: " has one or two blanks after it.
    turns = zip(pieces[1::2], pieces[2::2], strict=True)
    return [{"role": _ROLES[role], "content": body.strip()} for role, body in turns]


def _extra_id_turns(text: str) -> list[dict[str, str]] | None:
    first, *pieces = _EXTRA_ID_TURN.split(text)
    if not pieces:
        return None
    turns = [{"role": "user", "content": first}] if first else []
    for role, body in zip(pieces[::2], pieces[1::2], strict=True):
        turns.append({"role": _ROLES[role], "content": body.removeprefix("\n")})
    return turns
