"""The program of the synthetic data."""

from typing import final

from lit_align.errors import ConfigError
from lit_align.generation.base import Generator
from lit_align.loop.parts import Part
from lit_align.loop.program import Program
from lit_align.loop.rounds import Sampled
from lit_align.loop.runner import Runner
from lit_align.loop.synthesis.asking import Asking, model_of
from lit_align.loop.synthesis.cleaning import require_cleaning
from lit_align.loop.synthesis.division import Division, DivisionStages
from lit_align.loop.synthesis.made import Made
from lit_align.loop.synthesis.products import ProductStages
from lit_align.loop.synthesis.prompts import PromptStages
from lit_align.loop.synthesis.report import write_synthetic_data_report
from lit_align.loop.synthesis.settings import Embedding, Keywords, Preferences, Tagging, Task, Topics, Uses, Writing
from lit_align.loop.synthesis.sources import RealSource, TextSource, VerifiedSource
from lit_align.synthesis.hygiene.settings import Cleaning
from lit_align.synthesis.template import Templates
from lit_align.synthesis.verifiers import CODE_VERIFIERS
from lit_align.synthesis.verifiers.code import require_consent


@final
class SyntheticData(Program):
    """Makes prompts, dialogues and answers with a model, as the alignment data of Nemotron-4 340B was made.

    Topics and keywords, then tasks about them, generated and revised (arXiv:2406.11704, 3.2.1); real prompts; all
    of them divided between demonstrations and preferences; verifiable instructions; dialogues in which the model
    plays both sides (3.2.2), which a reward model picks from. The end products are files in `data/` of the workdir:
    demonstrations (`sft.jsonl`, the dialogues among them also in `dialogues.jsonl`), `preference_prompts.jsonl`, and
    pairs (`preferences.jsonl`, those by verifier in `preferences_verified.jsonl`, with all candidates beside them).

    Args:
        generator: What is asked: a model folder or hub id, or a generator by its class path, such as a server.
        assistant: What answers instead, in dialogues and second turns.
        reward_model: Folder of a reward model that scores demonstrations.
        min_reward: Demonstrations with a lower reward are dropped.
        topics: Topics of open questions and writing.
        math_keywords: Keywords of mathematics.
        coding_keywords: Keywords of programming.
        open_qa: Open questions.
        writing: Writing tasks.
        materials: The types of text they ask for.
        closed_qa: Requests about documents.
        math: Problems of mathematics.
        coding: Programming tasks.
        documents: What closed questions are about.
        real_prompts: Prompts of real users; those flagged as unsafe serve preferences only.
        verified_prompts: Prompts with known answers or tests, for preferences only (3.2.3).
        excluded: Files with prompts, such as those of an evaluation, that are left out; of hub ids the part `test`.
        cleaning: What is done to prompts before they are divided; prompts that share runs of words with `excluded` are
            dropped then too. None drops repetitions and whole excluded prompts alone.
        tags: How the prompts, but for the verified ones, are tagged; `cleaning.sample` then draws by these tags.
        embedding: What finds prompts that mean the same, for `cleaning.semantic`.
        uses: What the prompts are used for.
        preferences: How pairs are made of the prompts for preferences; None leaves them as prompts.
        sampled: How lists and tasks are sampled.
        turns: How turns of conversations are sampled.
        templates: Files that replace templates, by the template's name.
        min_items: Least items that every step must give, or the run stops there; 0 goes on with what there is, also
            with empty files.
        seed: Of every draw.
    """

    def __init__(
        self,
        *,
        generator: str | Generator,
        assistant: str | Generator | None = None,
        reward_model: str | None = None,
        min_reward: float | None = None,
        topics: Topics = Topics(),
        math_keywords: Keywords | None = None,
        coding_keywords: Keywords | None = None,
        open_qa: Task = Task(),
        writing: Task = Task(),
        materials: Writing = Writing(),
        closed_qa: Task = Task(),
        math: Task = Task(),
        coding: Task = Task(),
        documents: TextSource | None = None,
        real_prompts: RealSource | None = None,
        verified_prompts: list[VerifiedSource] | None = None,
        excluded: list[str] | None = None,
        cleaning: Cleaning | None = None,
        tags: Tagging | None = None,
        embedding: Embedding | None = None,
        uses: Uses = Uses(),
        preferences: Preferences | None = None,
        sampled: Sampled = Sampled(temperature=1.0, max_new_tokens=2048),
        turns: Sampled = Sampled(temperature=0.0, max_new_tokens=2048),
        templates: dict[str, str] | None = None,
        min_items: int = 1,
        seed: int = 0,
    ) -> None:
        _require(closed_qa, documents, "closed_qa", "documents")
        _require(math, math_keywords, "math", "math_keywords")
        _require(coding, coding_keywords, "coding", "coding_keywords")
        if preferences is not None and preferences.by == "reward" and reward_model is None:
            raise ConfigError("preferences by reward need a reward_model; or make them by: judge")
        if min_reward is not None and reward_model is None:
            raise ConfigError("min_reward needs a reward_model, whose reward it is compared with")
        require_cleaning(cleaning or Cleaning(), embedding, are_tagged=tags is not None)
        self.generator = generator
        self.assistant = assistant
        self.reward_model = reward_model
        self.min_reward = min_reward
        self.topics = topics
        self.math_keywords = math_keywords
        self.coding_keywords = coding_keywords
        self.open_qa = open_qa
        self.writing = writing
        self.materials = materials
        self.closed_qa = closed_qa
        self.math = math
        self.coding = coding
        self.documents = documents
        self.real_prompts = real_prompts
        self.verified_prompts = verified_prompts or []
        self.excluded = excluded or []
        self.cleaning = cleaning
        self.tags = tags
        self.embedding = embedding
        self.uses = uses
        self.preferences = preferences
        self.sampled = sampled
        self.turns = turns
        self.templates = Templates(files=templates or {})
        self.min_items = min_items
        self.seed = seed
        self.made = Made()

    def build(self, runner: Runner) -> None:
        """Adds all stages.

        Raises:
            ConfigError: No prompts are asked for, or code would have to run without consent.
        """
        if self.preferences is not None and any(source.verifier in CODE_VERIFIERS for source in self.verified_prompts):
            require_consent(self.preferences.allow_code_execution)
        asking = self._asking(runner, self.generator, title="generator")
        stages = self._prompt_stages(asking)
        self._prompts(stages)
        verifiable = stages.verified(self.verified_prompts)
        if taken := verifiable.keys() & self.made.prompts.keys():
            raise ConfigError(f"verified_prompts: {min(taken)} is a task already: call the data set something else")
        if not (self.made.prompts or verifiable):
            raise ConfigError("no prompts are asked for: set open_qa, writing, closed_qa, math, coding or real_prompts")
        named = enumerate(self.excluded, start=1)
        division = DivisionStages(
            asking=asking,
            templates=self.templates,
            uses=self.uses,
            cleaning=self.cleaning,
            tags=self.tags,
            embedding=self.embedding,
            excluded=tuple(Part(artifact=runner.external(path, title=f"excluded prompts {n}")) for n, path in named),
        )
        divided = division.divide([*self.made.prompts.values()], [*verifiable.values()])
        self.made.prompts |= verifiable
        self._products(asking, divided)

    def finish(self, runner: Runner) -> int | None:
        """Writes the files, the table, results.json, the report and the timings."""
        write_synthetic_data_report(self.made, runner)

    def stopped(self, runner: Runner) -> None:
        """Writes the files, the table and the report of what there was."""
        write_synthetic_data_report(self.made, runner)

    def _products(self, asking: Asking, division: Division) -> None:
        """What the prompts are made for."""
        runner = asking.runner
        committee = enumerate([] if self.preferences is None else self.preferences.committee, start=1)
        stages = ProductStages(
            users=asking,
            assistants=asking if self.assistant is None else self._asking(runner, self.assistant, title="assistant"),
            committee=[self._asking(runner, model, title=f"committee {n}").generator for n, model in committee],
            templates=self.templates,
            turns=self.turns,
            uses=self.uses,
            preferences=self.preferences,
            reward_model=runner.external(self.reward_model, title="reward model") if self.reward_model else None,
            min_reward=self.min_reward,
        )
        self.made.products |= dict(stages.make(division))

    def _asking(self, runner: Runner, generator: str | Generator, *, title: str) -> Asking:
        model = model_of(runner, generator, title=title)
        return Asking(runner=runner, generator=model, seed=self.seed, min_items=self.min_items)

    def _prompt_stages(self, asking: Asking) -> PromptStages:
        most = min(16, self.sampled.max_new_tokens)
        verdicts = Sampled(temperature=0.0, max_new_tokens=most, max_failed=self.sampled.max_failed)
        return PromptStages(asking=asking, templates=self.templates, sampled=self.sampled, verdicts=verdicts)

    def _prompts(self, stages: PromptStages) -> None:
        made = self.made.prompts
        if self.open_qa.num or self.writing.num:
            topics = stages.topics(self.topics)
            if self.open_qa.num:
                made["open_qa"] = stages.open_qa(topics, self.open_qa)
            if self.writing.num:
                made["writing"] = stages.writing(topics, self.writing, self.materials)
        if self.closed_qa.num and self.documents is not None:
            made["closed_qa"] = stages.closed_qa(self.documents, self.closed_qa)
        if self.math.num and self.math_keywords is not None:
            made["math"] = stages.math(stages.math_keywords(self.math_keywords), self.math)
        if self.coding.num and self.coding_keywords is not None:
            made["coding"] = stages.coding(stages.coding_keywords(self.coding_keywords), self.coding)
        if self.real_prompts is not None:
            made["real"] = stages.real(self.real_prompts)


def _require(task: Task, needed: object, name: str, needs: str) -> None:
    if task.num and needed is None:
        raise ConfigError(f"{name} needs {needs}")
