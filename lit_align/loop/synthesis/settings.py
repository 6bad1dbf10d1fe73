"""What a recipe of synthetic data says: how many topics, tasks and dialogues, and how preferences are made."""

from dataclasses import dataclass, field
from typing import Literal

from lit_align.errors import ConfigError
from lit_align.generation.base import Generator
from lit_align.loop.rounds import Sampled
from lit_align.loop.synthesis.sources import TextSource
from lit_align.synthesis.hygiene.embedding import EmbedderLibrary
from lit_align.synthesis.preferences import Strategy
from lit_align.synthesis.prompts.tasks import MATERIALS
from lit_align.synthesis.verifiers.code import Isolation


@dataclass(frozen=True, kw_only=True)
class Topics:
    """Topics of general prompts.

    Attributes:
        subjects: Fields that broad topics are asked for.
        num_macro: Broad topics of each field; 0 asks for none, and `given` are all.
        num_sub: Topics of each broad one.
        given: Topics that people collected.
        most: Most topics of all.
    """

    subjects: list[str] = field(default_factory=lambda: ["everyday life, the world and its peoples, and science"])
    num_macro: int = 10
    num_sub: int = 10
    given: list[str] = field(default_factory=list)
    most: int | None = None

    def __post_init__(self) -> None:
        if not (self.num_macro or self.given):
            raise ConfigError("topics: without num_macro there must be given ones")


@dataclass(frozen=True, kw_only=True)
class Keywords:
    """Keywords of problems in mathematics or programming.

    Attributes:
        parts: The school levels, or the programming languages, that broad topics are asked for.
        num_macro: Broad topics of each part; 0 asks for none.
        num_sub: Keywords of each broad topic.
        given: Keywords that people collected. Those of programming count for every language.
        entities: Names, such as titles of Wikipedia, of which a model keeps those that belong to the subject, and those
            of programming for every language.
        most: Most keywords of all.
    """

    parts: list[str]
    num_macro: int = 10
    num_sub: int = 10
    given: list[str] = field(default_factory=list)
    entities: TextSource | None = None
    most: int | None = None

    def __post_init__(self) -> None:
        if not self.parts:
            raise ConfigError("keywords: parts must name a level or language, at least one")
        if not (self.num_macro or self.given or self.entities):
            raise ConfigError("keywords: without num_macro there must be given ones or entities")


@dataclass(frozen=True, kw_only=True)
class Task:
    """Prompts of one kind; 0 leaves the kind out.

    Attributes:
        num: Prompts that are asked for, of each topic, keyword (at each difficulty) or document.
        revisions: Revised versions of each prompt, which take its place; 0 keeps the prompts as they are.
        most: Most prompts.
    """

    num: int = 0
    revisions: int = 1
    most: int | None = None


@dataclass(frozen=True, kw_only=True)
class Writing:
    """Types of text.

    Attributes:
        materials: What they are.
        each: How many of them every topic is combined with.
    """

    materials: list[str] = field(default_factory=lambda: list(MATERIALS))
    each: int = 1


DIALOGUES, ANSWERS, PREFERENCE = "dialogues", "answers", "preference"


@dataclass(frozen=True, kw_only=True)
class Uses:
    """What prompts are used for; no prompt has two uses.

    Attributes:
        dialogues: Share of the prompts that dialogues to learn from begin with.
        answers: Share that is answered once, to learn from.
        preference: Share that preferences are to be made of.
        most: Most prompts of a share, by its name.
        turns: Turns of the user in a dialogue.
        single: Prompts of either kind that also get an instruction for the one response.
        all_turns: Prompts of either kind that also get an instruction for all turns.
        revision: Prompts of either kind after whose answer the user asks for another, with an instruction.
        two_turn: Prompts for preferences that are continued to a second question.
    """

    dialogues: float = 0.25
    answers: float = 0.25
    preference: float = 0.5
    most: dict[str, int] = field(default_factory=dict)
    turns: int = 3
    single: int = 0
    all_turns: int = 0
    revision: int = 0
    two_turn: int = 0

    def __post_init__(self) -> None:
        shares = {DIALOGUES: self.dialogues, ANSWERS: self.answers, PREFERENCE: self.preference}
        if min(shares.values()) < 0 or not sum(shares.values()):
            raise ConfigError(f"uses: the shares must not be negative, and one positive, got {shares}")
        if unknown := self.most.keys() - shares.keys():
            raise ConfigError(f"uses.most: unknown {', '.join(sorted(unknown))}; known: {', '.join(shares)}")
        if self.turns < 1:
            raise ConfigError(f"uses.turns must be at least 1, got {self.turns}")

    @property
    def parts(self) -> dict[str, float]:
        """The shares by name of the part, those that are not empty."""
        shares = {DIALOGUES: self.dialogues, ANSWERS: self.answers, PREFERENCE: self.preference}
        return {name: share for name, share in shares.items() if share}


@dataclass(frozen=True, kw_only=True)
class Tagging:
    """Tags of the prompts: what each asks for.

    Attributes:
        by: The generator, which also tells topic, difficulty and quality; or rules for the words (English, coarse).
        most: Tags of a prompt, where the generator names them.
        sampled: How the generator is sampled.
    """

    by: Literal["generator", "rules"] = "generator"
    most: int = 8
    sampled: Sampled = Sampled(temperature=0.0, max_new_tokens=512)


@dataclass(frozen=True, kw_only=True)
class Embedding:
    """What finds prompts that mean the same.

    Attributes:
        model: Folder or hub id of a model that embeds texts.
        library: What reads it: any model, mean-pooled, or a static one, which is fast on a CPU.
    """

    model: str
    library: EmbedderLibrary = "transformers"


@dataclass(frozen=True, kw_only=True)
class Preferences:
    """How pairs are made of the prompts for preferences.

    Prompts with a known answer, tests or a verifiable instruction go by their verifier: what passes is preferred to
    what does not.

    Attributes:
        by: What decides about the others: the reward model, or the generator as a judge that is asked twice.
        sampled: How each model is sampled.
        committee: Further models that answer: class paths with their arguments, model folders or hub ids.
        strategy: As for `PairRules`, like the rest.
        min_margin: Pairs by reward whose rewards are nearer are dropped.
        max_length_ratio: The longer response has at most this many times the characters of the shorter one.
        max_similarity: Pairs more alike than this are dropped.
        allow_code_execution: One of the two consents to run code that a model wrote; the environment variable
            LIT_ALIGN_ALLOW_CODE_EXECUTION=1 is the other.
        isolation: Of that code, as for `lit-align verify`.
    """

    by: Literal["reward", "judge"] = "reward"
    sampled: Sampled = Sampled(num_samples=4, temperature=1.0, max_new_tokens=2048)
    committee: list[str | Generator] = field(default_factory=list)
    strategy: Strategy = "max_min"
    min_margin: float = 0.0
    max_length_ratio: float | None = None
    max_similarity: float = 0.9
    allow_code_execution: bool = False
    isolation: Isolation = "namespaces"
