"""The rows that generation writes.

One JSON object a line, sorted by prompt as in the input and by sample:

    id             The prompt's: 20 hexadecimal digits of the sha256 of its messages. The second row with the same
                   prompt adds `-1`, the third `-2`.
    prompt         What was answered: a string where it is one user turn, else a list of messages.
    response       The text of the response.
    sample         Which of the prompt's samples this is, from 0.
    finish_reason  `stop`: the model ended the response. `length`: it was cut at max_new_tokens. `content_filter`: a
                   service cut or withheld it. `tool_calls`: it calls a tool.
    num_tokens     Tokens of the response, its terminator included; null where a service does not say.
    generator      What wrote it: `model` (name and, where the weights can be read, fingerprint), `tokenizer` and
                   `template` (fingerprints), `sampling`, `dtype`, `engine`, `versions`, and `seed`, that of this
                   sample; of a service `served_by`, what it says of itself.

and the other columns of the input, as they were. One whose name means something here or would be read as a label of
the response (`response`, `reward`, `helpfulness`, ...) is carried as `source_<name>`.
"""

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

from lit_align.data.rows import HELPSTEER_ATTRIBUTES, Conversation, Dropped, PromptOnly
from lit_align.data.sources import read_raw
from lit_align.errors import DataError
from lit_align.files import sha256_of_json

_OURS = ("id", "prompt", "response", "sample", "finish_reason", "num_tokens", "generator")
_LABELS = ("messages", "chosen", "rejected", "responses", "rewards", "chosen_reward", "rejected_reward", "strength")
_RENAMED = {*_OURS, *_LABELS, *HELPSTEER_ATTRIBUTES, "reward", "ratings", "text", "logp"}
DRAWN = ("response", "finish_reason", "num_tokens")
"""The columns that only drawing a sample can fill."""
RECORDED = ("versions", "served_by")
"""What a row's `generator` only records, which is no part of what is asked."""
WHY_UNFINISHED = {"length": "cut_off", "content_filter": "withheld", "tool_calls": "tool_call"}
"""Reasons for which rows of responses that did not end are dropped, by their `finish_reason`."""


def row_ids(prompts: Sequence[PromptOnly]) -> list[str]:
    """The id of each row: of its prompt, and which row with this prompt it is.

    >>> from lit_align.data.rows import Message
    >>> row = PromptOnly(prompt=(Message(role="user", content="Hi"),), fields={}, place="prompts.jsonl:1")
    >>> row_ids([row, row])
    ['557f6d9586f57ae72d24', '557f6d9586f57ae72d24-1']
    """
    seen: Counter[str] = Counter()
    ids = []
    for row in prompts:
        name = sha256_of_json(_messages(row.prompt))[:20]
        ids.append(f"{name}-{seen[name]}" if seen[name] else name)
        seen[name] += 1
    return ids


def frame(row: PromptOnly, *, row_id: str, index: int, generator: Mapping[str, Any], seed: int) -> dict[str, Any]:
    """An output row without what is drawn."""
    return {
        "id": row_id,
        "prompt": _prompt_value(row.prompt),
        "response": None,
        "sample": index,
        "finish_reason": None,
        "num_tokens": None,
        "generator": {**generator, "seed": seed},
        **_carried(row.fields),
    }


def filled(frame: Mapping[str, Any], record: Mapping[str, Any]) -> dict[str, Any]:
    """An output row from its frame and the record of its sample."""
    row = {**frame, **{name: record[name] for name in DRAWN}}
    if "served_by" in record:
        row["generator"] = {**frame["generator"], "served_by": record["served_by"]}
    return row


def digest(prompts: Sequence[PromptOnly]) -> str:
    """The sha256 of all that rows take over from their input."""
    total = sha256()
    for row in prompts:
        total.update(sha256_of_json([_messages(row.prompt), dict(row.fields)]).encode())
    return total.hexdigest()


def answers_of(path: Path, prompts: Sequence[PromptOnly]) -> list[str | Dropped]:
    """The response to each prompt in a file of one sample a prompt, or why there is no complete one."""
    rows = {row["id"]: row for _, row in read_raw(path)}
    return [_answer(rows.get(name)) for name in row_ids(prompts)]


def _answer(row: Mapping[str, Any] | None) -> str | Dropped:
    if row is None:
        return Dropped("prompt_too_long")
    return row["response"] if row["finish_reason"] == "stop" else Dropped(WHY_UNFINISHED[row["finish_reason"]])


def difference_of_file(path: Path, frames: Iterator[dict[str, Any]]) -> str | None:
    """How a file of rows differs from what would be written now; None where nothing but the draws could."""
    try:
        for place, row in read_raw(path):
            expected = next(frames, None)
            if expected is None:
                return f"{place}: more rows than asked for"
            if changed := first_difference(_comparable(row), _comparable(expected)):
                return f"{place}: {changed}"
    except DataError as error:
        return str(error).partition("\n")[0]
    return None if next(frames, None) is None else f"{path}: fewer rows than asked for"


def first_difference(there: Any, now: Any, name: str = "") -> str | None:
    """The first value, depth first, in which two JSON values differ, by its dotted name.

    >>> first_difference({"sampling": {"top_p": 0.9}}, {"sampling": {"top_p": 1.0}})
    'sampling.top_p is 0.9 there, now 1.0'
    """
    if isinstance(there, Mapping) and isinstance(now, Mapping):
        for key in [*now, *(key for key in there if key not in now)]:
            inner = f"{name}.{key}" if name else str(key)
            if changed := first_difference(there.get(key), now.get(key), inner):
                return changed
        return None
    return None if there == now else f"{name} is {_short(there)} there, now {_short(now)}"


def _comparable(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row without what is drawn or only recorded."""
    kept = {key: value for key, value in row.items() if key not in DRAWN}
    generator = kept.get("generator")
    if isinstance(generator, Mapping):
        kept["generator"] = {key: value for key, value in generator.items() if key not in RECORDED}
    return kept


def _messages(prompt: Conversation) -> list[dict[str, str]]:
    return [{"role": message.role, "content": message.content} for message in prompt]


def _prompt_value(prompt: Conversation) -> str | list[dict[str, str]]:
    if len(prompt) == 1 and prompt[0].role == "user":
        return prompt[0].content
    return _messages(prompt)


def _carried(fields: Mapping[str, Any]) -> dict[str, Any]:
    carried: dict[str, Any] = {}
    for name, value in fields.items():
        new = f"source_{name}" if name in _RENAMED else name
        while new in carried or (new != name and new in fields):
            new = f"source_{new}"
        carried[new] = value
    return carried


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 80 else text[:77] + "..."
