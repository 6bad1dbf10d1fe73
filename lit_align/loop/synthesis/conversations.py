"""The stages of conversations: dialogues, answers, prompts with instructions and prompts of two turns."""

from dataclasses import dataclass

from lit_align.loop.parts import Part, rows_of
from lit_align.loop.rounds import Sampled
from lit_align.loop.sampling import Score
from lit_align.loop.stage import Artifact
from lit_align.loop.synthesis.asking import Asking
from lit_align.loop.synthesis.settings import ANSWERS, DIALOGUES, Uses
from lit_align.synthesis.dialogues import AssistantTurn, UserTurn
from lit_align.synthesis.prompts import instruction_following as following
from lit_align.synthesis.template import Templates
from lit_align.synthesis.transforms import AboveReward, AsPrompts

_PERSONAS = ("normal", "complex", "critical")


@dataclass(frozen=True, kw_only=True)
class ConversationStages:
    """Adds the stages that make conversations.

    Attributes:
        users: Adds the stages in which the generator speaks as a user.
        assistants: Adds those in which it answers; possibly another model.
        templates: What is asked.
        sampled: How turns are sampled; greedily as published.
        uses: How many of what.
        reward_model: Scores what is to be learned.
        min_reward: What falls below is dropped.
    """

    users: Asking
    assistants: Asking
    templates: Templates
    sampled: Sampled
    uses: Uses
    reward_model: Artifact | None
    min_reward: float | None

    def preferences(self, prompts: Part | None, verifiable: Part | None) -> Part:
        """Prompts of one and of two turns to make preferences of; those that are verifiable stay as they are."""
        given = [] if prompts is None else self._varied(prompts)
        given += [] if verifiable is None else [verifiable]
        return self.users.take(*given, most=None, title="prompts for preferences")

    def _varied(self, prompts: Part) -> list[Part]:
        """The prompts, some of them again with an instruction or with a second turn."""
        instructed = self._instructed(prompts, title="preferences")
        parts = [prompts]
        if following.ALL_TURNS in instructed:
            parts.append(self._two_turns(instructed.pop(following.ALL_TURNS), title="two turns, instructed"))
        if self.uses.two_turn:
            some = self.users.take(prompts, most=self.uses.two_turn, title="two turns: asked")
            parts.append(self._two_turns(some, title="two turns"))
        return [*parts, *instructed.values()]

    def demonstrations(self, dialogues: Part | None, answers: Part | None) -> dict[str, Part]:
        """Conversations to learn from, from prompts of dialogues and of single answers, each with instructions."""
        given = [part for part in (dialogues, answers) if part is not None]
        if not given:
            return {}
        instructed = self._instructed(*given, title="demonstrations")
        longer = [] if dialogues is None else [dialogues]
        if following.ALL_TURNS in instructed:
            longer.append(instructed.pop(following.ALL_TURNS))
        single = [*([] if answers is None else [answers]), *instructed.values()]
        made = {}
        if longer:
            made[DIALOGUES] = self._kept(self._dialogues(longer), title="dialogues")
        if single:
            asked = self.users.take(*single, most=None, title="answers: prompts")
            made[ANSWERS] = self._kept(self._answer(asked, title="answers: all"), title="answers")
        return made

    def _instructed(self, *prompts: Part, title: str) -> dict[str, Part]:
        """Some of the prompts with verifiable instructions, by form; a revision has the first answer before it."""
        made: dict[str, Part] = {}
        sizes = (self.uses.single, self.uses.all_turns, self.uses.revision)
        for draw, (form, number) in enumerate(zip(_FORMS, sizes, strict=True), start=1):
            if not number:
                continue
            words = f"instructions of {title}, {form.replace('_', ' ')}"
            some = self.users.take(*prompts, most=number, title=f"{words}: asked", draw=draw)
            if form == following.REVISION:
                some = self._answer(some, title=f"{words}: first answers")
            add = _FORMS[form](self.templates, seed=self.users.seed)
            made[form] = self.users.apply(add, some, title=words)
        return made

    def _dialogues(self, prompts: list[Part]) -> Part:
        begun = self.users.take(*prompts, most=None, title="dialogues: prompts")
        said = self._answer(begun, title="dialogues: turn 1, assistant")
        for turn in range(2, self.uses.turns + 1):
            asked = self._ask_on(said, _PERSONAS, title=f"dialogues: turn {turn}, user")
            said = self._answer(asked, title=f"dialogues: turn {turn}, assistant")
        return said

    def _two_turns(self, prompts: Part, *, title: str) -> Part:
        answered = self._answer(prompts, title=f"{title}: first answers")
        asked = self._ask_on(answered, _PERSONAS[:1], title=f"{title}: second questions")
        return self.users.apply(AsPrompts(task="two_turn"), asked, title=title)

    def _answer(self, items: Part, *, title: str) -> Part:
        return self.assistants.ask(AssistantTurn(), items, self.sampled, title=title)

    def _ask_on(self, items: Part, personas: tuple[str, ...], *, title: str) -> Part:
        templates = {name: self.templates[f"user_{name}"] for name in personas}
        return self.users.ask(UserTurn(personas=templates, seed=self.users.seed), items, self.sampled, title=title)

    def _kept(self, items: Part, *, title: str) -> Part:
        """What follows its instructions and pleases the reward model."""
        kept = self.users.apply(following.Verified(), items, title=f"{title}: verified")
        if self.reward_model is None:
            return kept
        score = Score(model=self.reward_model, rows=kept, may_be_empty=self.users.may_be_empty)
        scored = rows_of(self.users.runner.add(score, title=f"{title}: scored"))
        if self.min_reward is None:
            return scored
        return self.users.apply(AboveReward(threshold=self.min_reward), scored, title=f"{title}: above the threshold")


_FORMS = {
    following.SINGLE: following.add_single,
    following.ALL_TURNS: following.add_for_all_turns,
    following.REVISION: following.add_revision,
}
