"""Stages that measure models on held-out rows: rewards of a policy's responses, and accuracy on preferences."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, cast, final

from lit_align.errors import DataError
from lit_align.files import sha256_of_json, write_jsonl
from lit_align.loop.gates import PER_PROMPT
from lit_align.loop.intervals import mean, proportion
from lit_align.loop.parts import Part, model_path
from lit_align.loop.responders import Responder, sample
from lit_align.loop.sampling import read_rows
from lit_align.loop.stage import Artifact, Stage, StageContext

if TYPE_CHECKING:
    from torch import Tensor

    from lit_align.data.records import Preference
    from lit_align.models.packing import Tree
    from lit_align.modules.inference import Read, Reader

SAMPLES = "samples.jsonl"
_TREES_AT_ONCE = 256  # between two signs of progress


@final
@dataclass(frozen=True, kw_only=True)
class RewardOfResponses(Stage):
    """What a reward model says of a policy's responses to held-out prompts, one response a prompt.

    `per_prompt.jsonl` holds the reward of every prompt by `id`, `samples.jsonl` the responses with every attribute.
    So that all policies are measured on the same prompts, an empty response is scored as it is, and one that is too
    long for the reward model as far as it fits; both are counted.

    Args:
        model: The policy, or a generator of `lit_align.generation`.
        reward_model: Judges it.
        prompts: Rows with a prompt that no policy was trained on.
        max_new_tokens: Most tokens of a response.
        temperature: Of the sampling; 0 is greedy.
        top_p: Share of probability that is sampled from.
        seed: Of the samples.
    """

    version: ClassVar[int] = 1
    resumable: ClassVar[bool] = True
    shown: ClassVar[tuple[str, ...]] = ("reward", "finished")

    model: Responder
    reward_model: Artifact
    prompts: Part
    max_new_tokens: int = 256
    temperature: float = 0.0
    top_p: float = 1.0
    seed: int = 0

    def run(self, output: Path, context: StageContext) -> dict[str, Any]:
        """Generates, continuing where a killed run was, and scores."""
        from lit_align.modules.inference import RewardReader

        responses = output / "responses.jsonl"
        sampling = {name: getattr(self, name) for name in ("max_new_tokens", "temperature", "top_p", "seed")}
        generated = sample(self.model, self.prompts, responses, **sampling)
        reader = RewardReader(model_path(self.reward_model))
        rows, trees, cut = [], [], 0
        for row in read_rows(responses):
            tree, is_whole = _answer_tree(reader, row)
            if tree is not None:
                rows.append(row)
                trees.append(tree)
                cut += not is_whole
        if not rows:
            raise DataError(f"{self.prompts.artifact.title}: every prompt is too long for the reward model")
        scores = [reader.describe(values)[0] for values in _values(reader, trees, reader.attributes, context)]
        scored = [{**row, **score} for row, score in zip(rows, scores, strict=True)]
        write_jsonl(output / PER_PROMPT, ({"id": row["id"], "reward": row["reward"]} for row in scored))
        write_jsonl(output / SAMPLES, scored)
        return {
            **mean("reward", [score["reward"] for score in scores]),
            "attributes": {name: _mean([score[name] for score in scores]) for name in reader.head.attributes},
            "mean_tokens": generated["mean_tokens"],
            "finished": _mean([float(row["finish_reason"] == "stop") for row in rows]),
            "empty": sum(not row["response"].strip() for row in rows),
            "cut_for_scoring": cut,
            "prompts_too_long": generated["refused"] + generated["prompts"] - len(rows),
        }


@final
@dataclass(frozen=True, kw_only=True)
class PreferenceAccuracy(Stage):
    """How often a reward model prefers the response that people chose; a tie of rewards is a miss.

    `per_prompt.jsonl` holds `correct` and the margin of every pair by `id`. The accuracy of always choosing the longer
    response is given beside: a reward model that is not above it has learned length.

    Args:
        reward_model: What is measured.
        rows: Held-out preference pairs.
    """

    version: ClassVar[int] = 1
    shown: ClassVar[tuple[str, ...]] = ("accuracy", "longer_accuracy")

    reward_model: Artifact
    rows: Part

    def run(self, output: Path, context: StageContext) -> dict[str, Any]:
        """Scores both responses of every pair."""
        from lit_align.modules.inference import RewardReader

        reader = RewardReader(model_path(self.reward_model))
        pairs, values, accounting = _read_pairs(reader, self.rows, reader.attributes, context)
        margins = [chosen - rejected for chosen, rejected in (reader.head.reward(value).tolist() for value in values)]
        return {**_pair_results(output, pairs, margins), **accounting}


@final
@dataclass(frozen=True, kw_only=True)
class PolicyPreferenceAccuracy(Stage):
    """How often a policy gives more log-probability to the response that people chose; a tie is a miss.

    Log-probabilities favour short responses: what training on preferences changed is told by `ImplicitRewardAccuracy`.
    `per_prompt.jsonl` holds `correct` and the margin, in nats, of every pair by `id`.

    Args:
        model: The policy.
        rows: Held-out preference pairs.
    """

    version: ClassVar[int] = 2
    shown: ClassVar[tuple[str, ...]] = ("accuracy", "mean_margin")

    model: Artifact
    rows: Part

    def run(self, output: Path, context: StageContext) -> dict[str, Any]:
        """Reads both responses of every pair."""
        from lit_align.modules.inference import Reader

        reader = Reader(model_path(self.model))
        pairs, values, accounting = _read_pairs(
            reader, self.rows, lambda batch: batch.sum_by_response(reader.backbone.logprobs(batch)), context
        )
        margins = [float(chosen - rejected) for chosen, rejected in values]
        return {**_pair_results(output, pairs, margins), **accounting}


@final
@dataclass(frozen=True, kw_only=True)
class ImplicitRewardAccuracy(Stage):
    """How often a policy's implicit reward (arXiv:2305.18290, section 4) prefers the response that people chose.

    The margin of a pair, over beta, is the policy's log-probability margin minus the reference's: what training on
    preferences changed, whatever the lengths of the responses are. `per_prompt.jsonl` as in the inputs.

    Args:
        policy: What `PolicyPreferenceAccuracy` measured of the policy, without a reference.
        reference: The same of the reference.
    """

    version: ClassVar[int] = 1
    shown: ClassVar[tuple[str, ...]] = ("accuracy", "mean_margin")

    policy: Artifact
    reference: Artifact

    def run(self, output: Path, context: StageContext) -> dict[str, Any]:
        """Subtracts the margins pair by pair."""
        own, other = (
            {row["id"]: row["margin"] for row in read_rows(artifact.path / PER_PROMPT)}
            for artifact in (self.policy, self.reference)
        )
        if own.keys() != other.keys() or not own:
            raise DataError(f"{self.policy.title} and {self.reference.title} did not read the same pairs")
        margins = {name: margin - other[name] for name, margin in own.items()}
        rows = [{"id": name, "correct": float(margin > 0), "margin": margin} for name, margin in margins.items()]
        write_jsonl(output / PER_PROMPT, rows)
        ties = sum(row["margin"] == 0 for row in rows)
        correct = proportion("accuracy", [row["correct"] for row in rows])
        return {**correct, **mean("mean_margin", list(margins.values())), "ties": ties}


def _answer_tree(reader: "Reader", row: Mapping[str, Any]) -> tuple["Tree | None", bool]:
    """A generated row's tokens, as many as fit the model, and whether those are all; None without room for any."""
    from lit_align.data.records import parse_row
    from lit_align.data.rows import PromptOnly
    from lit_align.models.packing import Response, Tree

    parsed = parse_row("prompt", dict(row), str(row["id"]))
    assert isinstance(parsed, PromptOnly)
    prompt = reader.chat.encode_prompt(parsed.prompt)
    ids = reader.chat.encode_response(parsed.prompt, row["response"])
    limit = reader.backbone.max_length
    room = len(ids) if limit is None else limit - len(prompt)
    if room < 1:
        return None, False
    return Tree(prompt=prompt, responses=[Response(ids=ids[:room])]), room >= len(ids)


def _read_pairs(
    reader: "Reader", rows: Part, read: "Read", context: StageContext
) -> tuple[list["Preference"], list["Tensor"], dict[str, Any]]:
    """The pairs of a file that fit the model, a value of each response, and the account of the others."""
    from lit_align.data.answers import Answers
    from lit_align.data.records import Dropped
    from lit_align.data.sources import read_rows as read_typed_rows

    pairs, trees = [], []
    every, accounting = read_typed_rows(rows.path, "preference")
    for pair in cast("list[Preference]", every):
        responses = (pair.chosen, pair.rejected)
        answers = Answers(raw={}, prompt=pair.prompt, responses=responses, columns=(), place=pair.place)
        try:
            trees.append(reader.tree(answers))
            pairs.append(pair)
        except Dropped as drop:
            accounting.drop(drop.reason, place=pair.place)
    if not pairs:
        raise DataError(f"{rows.artifact.title}: no pair is left to measure on\n{accounting.summary()}")
    return pairs, list(_values(reader, trees, read, context)), accounting.to_dict()


def _values(reader: "Reader", trees: Sequence["Tree"], read: "Read", context: StageContext) -> Iterator["Tensor"]:
    for start in range(0, len(trees), _TREES_AT_ONCE):
        yield from reader.values(trees[start : start + _TREES_AT_ONCE], read)
        context.progress(min(start + _TREES_AT_ONCE, len(trees)), len(trees))


def _pair_results(output: Path, pairs: Sequence["Preference"], margins: Sequence[float]) -> dict[str, Any]:
    correct = [margin > 0 for margin in margins]
    seen, rows = Counter[str](), []
    for pair, margin, verdict in zip(pairs, margins, correct, strict=True):
        turns = [[turn.role, turn.content] for turn in pair.prompt]
        name = sha256_of_json([turns, pair.chosen, pair.rejected])[:20]
        rows.append({"id": f"{name}-{seen[name]}", "correct": float(verdict), "margin": margin})
        seen[name] += 1
    write_jsonl(output / PER_PROMPT, rows)
    longer = [len(pair.chosen) > len(pair.rejected) for pair in pairs]
    return {
        **proportion("accuracy", correct),
        "mean_margin": _mean(margins),
        "ties": sum(margin == 0 for margin in margins),
        "longer_accuracy": _mean([float(verdict) for verdict in longer]),
    }


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
