"""Prompts with verifiable instructions, in the three published forms, and responses that follow them.

Nemotron-4 (arXiv:2406.11704, section 3.2.1) joins synthetic prompts with instructions of IFEval (arXiv:2311.07911): for
the one response, for all turns of a conversation, or in a second turn that asks to revise the first response.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from random import Random
from typing import Any, ClassVar, final

from lit_align.data.accounting import Accounting
from lit_align.synthesis.items import REQUEST, Item, make_item, messages_of, origin_of, rank
from lit_align.synthesis.template import Template, Templates
from lit_align.synthesis.transforms import Transform
from lit_align.synthesis.verifiers.ifeval import IFEvalVerifier, Strictness, random_instruction

SINGLE, ALL_TURNS, REVISION = "single", "all_turns", "revision"


@final
@dataclass(frozen=True, kw_only=True)
class AddInstruction(Transform):
    """Adds a random verifiable instruction to prompts, or as a user's next turn to conversations.

    `meta` gets `instruction_id_list` and `kwargs` as IFEval has them, and `instructed`: for which turns.

    Args:
        form: `single` for the response to the prompt, `all_turns` for all that follow, `revision` for a second turn.
        template: Its slots are `instruction` and, but in a second turn, `prompt`.
        seed: Of the draw.
    """

    version: ClassVar[int] = 2

    form: str
    template: Template
    seed: int = 0

    def apply(self, items: Iterable[dict[str, Any]], *, counts: Accounting) -> Iterator[Item]:
        for item in items:
            counts.add()
            *before, last = messages_of(item)
            place = rank(self.seed, self.form, item["id"])
            # Only the one response to a prompt can be asked to repeat it.
            repeatable = last["content"] if self.form == SINGLE else None
            instruction = random_instruction(Random(int(place * 2**52)), prompt=repeatable)
            values = {"prompt": last["content"], "instruction": instruction.describe()}
            turn = {"role": "user", "content": self.template.fill(values, rank=place)}
            ids = {"instruction_id_list": [instruction.id], "kwargs": [instruction.arguments]}
            known = {name: value for name, value in item["meta"].items() if name != REQUEST}  # it asks for more now
            yield make_item(
                "prompt",
                prompt=[*before, last, turn] if self.form == REVISION else [*before, turn],
                meta={**known, **ids, "instructed": self.form, "task": f"instruction_{self.form}"},
                parents=[item["id"]],
                template=self.template.id,
                **origin_of(item),
            )


@final
@dataclass(frozen=True, kw_only=True)
class Verified(Transform):
    """Keeps the conversations whose responses follow the verifiable instruction of their prompt, and all without one.

    Args:
        strictness: As for `IFEvalVerifier`.
    """

    version: ClassVar[int] = 1

    strictness: Strictness = "strict"

    def apply(self, items: Iterable[dict[str, Any]], *, counts: Accounting) -> Iterator[Item]:
        verifier = IFEvalVerifier(strictness=self.strictness)
        for item in items:
            counts.add()
            bound = _bound_responses(item)
            if all(verifier.verify(item, response).passed for response in bound):
                yield item
            else:
                counts.drop("not_followed", place=f"item {item['id']}")


def add_single(templates: Templates, *, seed: int = 0) -> AddInstruction:
    """An instruction for the one response."""
    return AddInstruction(form=SINGLE, template=templates["instruction_single"], seed=seed)


def add_for_all_turns(templates: Templates, *, seed: int = 0) -> AddInstruction:
    """An instruction for this response and all that follow."""
    return AddInstruction(form=ALL_TURNS, template=templates["instruction_all_turns"], seed=seed)


def add_revision(templates: Templates, *, seed: int = 0) -> AddInstruction:
    """A second turn that asks for the first response again, with an instruction."""
    return AddInstruction(form=REVISION, template=templates["instruction_revise"], seed=seed)


def _bound_responses(item: Item) -> list[str]:
    """The responses that the item's instruction is for."""
    if "instruction_id_list" not in item["meta"]:
        return []
    responses = [turn["content"] for turn in messages_of(item) if turn["role"] == "assistant"]
    return responses if item["meta"]["instructed"] == ALL_TURNS else responses[-1:]
