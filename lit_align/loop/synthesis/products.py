"""The stages behind the division: demonstrations, prompts for preferences, and pairs."""

from collections.abc import Iterator
from dataclasses import dataclass

from lit_align.generation.base import Generator
from lit_align.loop.parts import Part
from lit_align.loop.rounds import Sampled
from lit_align.loop.stage import Artifact
from lit_align.loop.synthesis.asking import Asking
from lit_align.loop.synthesis.conversations import ConversationStages
from lit_align.loop.synthesis.describing import Describe
from lit_align.loop.synthesis.division import Division
from lit_align.loop.synthesis.made import Product
from lit_align.loop.synthesis.preferences import PreferenceStages
from lit_align.loop.synthesis.settings import ANSWERS, DIALOGUES, PREFERENCE, Preferences, Uses
from lit_align.synthesis.prompts.real import Safe
from lit_align.synthesis.template import Templates


@dataclass(frozen=True, kw_only=True)
class ProductStages:
    """Adds the stages that make what the program is run for.

    Attributes:
        users: Adds the stages in which the generator speaks as a user.
        assistants: Adds those in which it answers; possibly another model.
        committee: Further models that answer, for pairs.
        templates: What is asked.
        turns: How turns of conversations are sampled.
        uses: How many of what.
        preferences: How pairs are made, if they are.
        reward_model: Scores what is to be learned.
        min_reward: Demonstrations that fall below are dropped.
    """

    users: Asking
    assistants: Asking
    committee: list[Artifact | Generator]
    templates: Templates
    turns: Sampled
    uses: Uses
    preferences: Preferences | None
    reward_model: Artifact | None
    min_reward: float | None

    def make(self, division: Division) -> Iterator[tuple[str, Product]]:
        """The products by file name."""
        conversations = ConversationStages(
            users=self.users,
            assistants=self.assistants,
            templates=self.templates,
            sampled=self.turns,
            uses=self.uses,
            reward_model=self.reward_model,
            min_reward=self.min_reward,
        )
        parts, verifiable = division.parts, division.verifiable
        safe = {
            name: self.users.apply(Safe(), part, title=f"{name}: safe prompts")
            for name, part in parts.items()
            if name != PREFERENCE
        }
        made = conversations.demonstrations(safe.get(DIALOGUES), safe.get(ANSWERS))
        if made:
            yield self._described("sft", self.users.take(*made.values(), most=None, title="demonstrations"))
        if DIALOGUES in made:
            yield self._described("dialogues", made[DIALOGUES])
        if PREFERENCE in parts or verifiable is not None:
            prompts = conversations.preferences(parts.get(PREFERENCE), verifiable)
            yield self._described("preference_prompts", prompts)
            if self.preferences is not None:
                yield from self._pairs(self.preferences, division, prompts)

    def _described(self, name: str, rows: Part) -> tuple[str, Product]:
        description = self.users.runner.add(Describe(items=rows), title=f"{name}.jsonl")
        return name, Product(rows=rows, description=description)

    def _pairs(self, settings: Preferences, division: Division, prompts: Part) -> Iterator[tuple[str, Product]]:
        stages = PreferenceStages(
            asking=self.users,
            models=[self.assistants.generator, *self.committee],
            settings=settings,
            templates=self.templates,
            reward_model=self.reward_model,
        )
        open_ended = PREFERENCE in division.parts
        instructed = open_ended and bool(self.uses.single or self.uses.all_turns or self.uses.revision)
        verifiable = division.verifiable is not None or instructed
        yield from stages.pairs(prompts, open_ended=open_ended, verifiable=verifiable).items()
