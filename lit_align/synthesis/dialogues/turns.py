"""Conversations that grow by a turn: the model answers as the assistant, or speaks as a user of some kind."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import ClassVar, final

from lit_align.data.accounting import Accounting
from lit_align.synthesis.dialogues.polite import strip_polite
from lit_align.synthesis.items import Item, make_item, messages_of, origin_of, rank
from lit_align.synthesis.steps import Row, Step, generator_of, place_of, prompt_row, unfinished_reason
from lit_align.synthesis.template import Template

USER = "user"
"""What `meta` calls the kind of user that speaks."""

_SPEAKER = re.compile(r"\A[\W_]{0,2}user[\W_]{0,2}:[*_]{0,2}\s*", re.IGNORECASE)
_OTHER_SPEAKER = re.compile(r"^[\W_]{0,2}(?:assistant|user)[\W_]{0,2}:", re.IGNORECASE | re.MULTILINE)


@final
@dataclass(frozen=True, kw_only=True)
class AssistantTurn(Step):
    """Adds the assistant's answer to a prompt or conversation; one that was cut off ends it."""

    version: ClassVar[int] = 1

    def compose(self, items: Iterable[Item], *, made: Iterable[Item] | None = None) -> Iterator[Row]:
        for item in items if made is None else ():
            yield {"prompt": messages_of(item), "item": item}

    def parse(self, responses: Iterable[Row], *, counts: Accounting) -> Iterator[Item]:
        for row in responses:
            counts.add()
            text = row["response"].strip()
            if reason := unfinished_reason(row) or (None if text else "empty_response"):
                counts.drop(reason, place=place_of(row))
            else:
                yield extended(row["item"], "assistant", text, generator=generator_of(row))


@final
@dataclass(frozen=True, kw_only=True)
class UserTurn(Step):
    """Adds a user's next message, spoken by the model in the user's place; politeness is taken off its beginning.

    Args:
        personas: How each kind of user is asked for, by name; the slot `history` is the conversation. Which one
            speaks is drawn once for each conversation.
        seed: Of the draw.
    """

    version: ClassVar[int] = 2

    personas: dict[str, Template]
    seed: int = 0

    def compose(self, items: Iterable[Item], *, made: Iterable[Item] | None = None) -> Iterator[Row]:
        for item in items if made is None else ():
            template = self.personas[self.persona_of(item)]
            yield prompt_row(item, template.fill({"history": history_of(item)}), template=template)

    def parse(self, responses: Iterable[Row], *, counts: Accounting) -> Iterator[Item]:
        for row in responses:
            counts.add()
            said = user_message(row["response"])
            text = strip_polite(said)
            reason = unfinished_reason(row) or ("empty_response" if not said else None)
            if reason := reason or (None if text else "only_politeness"):
                counts.drop(reason, place=place_of(row))
                continue
            item = row["item"]
            known = {**item, "meta": {**item["meta"], USER: self.persona_of(item)}}
            yield extended(known, "user", text, generator=generator_of(row))

    def persona_of(self, item: Item) -> str:
        """The kind of user of a conversation, the same in all of its turns."""
        names = sorted(self.personas)
        return names[int(rank(self.seed, _first(item)) * len(names))]


def extended(item: Item, role: str, text: str, *, generator: str) -> Item:
    """A conversation with one more turn; it names the prompt that it began with as its parent."""
    turns = [*messages_of(item), {"role": role, "content": text}]
    origin = origin_of(item, generator=generator)
    return make_item("dialogue", messages=turns, meta=item["meta"], parents=[_first(item)], **origin)


def history_of(item: Item) -> str:
    r"""A conversation as a text to read.

    >>> history_of({"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Yes?"}]})
    'User: Hi\n\nAssistant: Yes?'
    """
    return "\n\n".join(f"{turn['role'].capitalize()}: {turn['content']}" for turn in messages_of(item))


def user_message(response: str) -> str:
    r"""What the user says in a response: without a label, quotes around all of it, and further speakers.

    >>> user_message("User: Why?\nAssistant: Because.")
    'Why?'
    """
    text = _SPEAKER.sub("", response.strip(), count=1)
    text = _OTHER_SPEAKER.split(text, maxsplit=1)[0].strip()
    if len(text) > 1 and text[0] == text[-1] == '"' and '"' not in text[1:-1]:
        text = text[1:-1].strip()
    return text


def _first(item: Item) -> str:
    return item["parents"][0] if item["kind"] == "dialogue" else item["id"]
