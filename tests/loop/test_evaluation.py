"""What is measured on held-out rows: rewards of responses, accuracy of reward models and policies on preferences."""

import itertools
import json
import math
from types import SimpleNamespace

import pytest

from lit_align.errors import DataError
from lit_align.files import write_jsonl
from lit_align.loop import Artifact, StageContext
from lit_align.loop.evaluation import (
    ImplicitRewardAccuracy,
    PolicyPreferenceAccuracy,
    PreferenceAccuracy,
    RewardOfResponses,
)
from lit_align.loop.parts import Part
from lit_align.synthesis.toy import build_tokenizer, sample_tasks

LLAMA = {
    "model_type": "llama",
    "vocab_size": 36,
    "hidden_size": 16,
    "intermediate_size": 32,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "max_position_embeddings": 32,
    "bos_token_id": 2,
    "eos_token_id": 3,
    "initializer_range": 0.5,
}


def artifact(path):
    return Artifact(fingerprint=path.name, path=path, title=path.name)


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """Folders of two policies and a reward model, with weights nobody trained."""
    import torch

    import lit_align

    folder = tmp_path_factory.mktemp("models")
    tokenizer = str(build_tokenizer(folder / "tokenizer"))

    def backbone(seed):
        return lit_align.HFBackbone(config=LLAMA, tokenizer=tokenizer, seed=seed)

    made = {"policy": lit_align.SFT(backbone(0)), "other": lit_align.SFT(backbone(1))}
    made["reward"] = lit_align.RewardRegression(backbone(2), attributes=["helpfulness"], weights={"helpfulness": 1.0})
    for name, module in made.items():
        module.configure_model()
        if name == "reward":
            torch.nn.init.normal_(module.head.layers[-1].weight, generator=torch.Generator().manual_seed(0))
        lit_align.save_model(module, folder / name)
    return SimpleNamespace(**{name: artifact(folder / name) for name in made})


@pytest.fixture
def context():
    done = []
    context = StageContext(
        title="t", iteration=None, fingerprint="f", seed=0, threads=1, progress=lambda *counts: done.append(counts)
    )
    yield context
    assert done[-1][0] == done[-1][1]


def rows_file(path, rows):
    write_jsonl(path, rows)
    return Part(artifact=artifact(path))


def read(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_rewards_of_responses_are_those_of_the_score_command(models, context, tmp_path):
    from lit_align.modules.inference import RewardReader, score_rows

    prompts = rows_file(tmp_path / "prompts.jsonl", [{"prompt": task.prompt} for task in sample_tasks(6, seed=0)])
    stage = RewardOfResponses(model=models.policy, reward_model=models.reward, prompts=prompts, max_new_tokens=6)
    results = stage.run(tmp_path, context)
    by_id = {row["id"]: row["reward"] for row in read(tmp_path / "per_prompt.jsonl")}
    assert len(by_id) == results["reward_n"] == 6
    assert math.isclose(results["reward"], sum(by_id.values()) / 6)
    assert results["reward_interval"][0] < results["reward"] < results["reward_interval"][1]
    score_rows(RewardReader(str(models.reward.path)), tmp_path / "responses.jsonl", tmp_path / "scored.jsonl")
    scored = read(tmp_path / "scored.jsonl")
    assert scored
    for row in scored:
        assert math.isclose(row["reward"], by_id[row["id"]], abs_tol=1e-5)


def test_empty_and_overlong_responses_are_scored_like_all_others(models, context, tmp_path, monkeypatch):
    tasks = sample_tasks(3, seed=0)
    long = "1 2 3 4 5 6 7 8 9 " * 6
    made = [{"id": str(i), "prompt": t.prompt, "finish_reason": "stop"} for i, t in enumerate(tasks)]

    def sample(model, prompts, output, **sampling):
        write_jsonl(output, [{**row, "response": text} for row, text in zip(made, ("", long, "1"), strict=True)])
        return {"mean_tokens": 1.0, "refused": 0, "prompts": 3}

    monkeypatch.setattr("lit_align.loop.evaluation.sample", sample)
    prompts = Part(artifact=artifact(tmp_path))
    results = RewardOfResponses(model=models.policy, reward_model=models.reward, prompts=prompts).run(tmp_path, context)
    assert (results["reward_n"], results["empty"], results["cut_for_scoring"]) == (3, 1, 1)
    assert results["prompts_too_long"] == 0


def test_a_reward_model_is_compared_with_the_choices_of_people(models, context, tmp_path):
    from lit_align.modules.inference import RewardReader, score_rows

    tasks = sample_tasks(12, seed=0)
    pairs = [
        {"prompt": a.prompt, "chosen": a.answer, "rejected": b.answer}
        for a, b in itertools.pairwise(tasks)
        if a.answer != b.answer
    ]
    tied = {"prompt": "x", "chosen": "1", "rejected": "2", "chosen_reward": 1.0, "rejected_reward": 1.0}
    rows = rows_file(tmp_path / "pairs.jsonl", [*pairs, tied])
    results = PreferenceAccuracy(reward_model=models.reward, rows=rows).run(tmp_path, context)
    assert (results["read"], results["kept"], results["dropped"]) == (len(pairs) + 1, len(pairs), {"tie": 1})
    score_rows(RewardReader(str(models.reward.path)), tmp_path / "pairs.jsonl", tmp_path / "scored.jsonl")
    wins = [row["chosen_reward"] > row["rejected_reward"] for row in read(tmp_path / "scored.jsonl")[:-1]]
    assert math.isclose(results["accuracy"], sum(wins) / len(wins))
    assert [row["correct"] for row in read(tmp_path / "per_prompt.jsonl")] == wins


def test_a_policy_prefers_by_its_log_probability_and_by_its_implicit_reward(models, context, tmp_path):
    from lit_align.modules.inference import Reader, logprob_rows

    tasks = sample_tasks(8, seed=0)
    pairs = [{"prompt": t.prompt, "chosen": t.answer, "rejected": f"{t.answer} 1"} for t in tasks]
    rows = rows_file(tmp_path / "pairs.jsonl", pairs)
    margins = {}
    for name in ("policy", "other"):
        (tmp_path / name).mkdir()
        model = getattr(models, name)
        results = PolicyPreferenceAccuracy(model=model, rows=rows).run(tmp_path / name, context)
        logprob_rows(Reader(str(model.path)), tmp_path / "pairs.jsonl", tmp_path / f"{name}.jsonl")
        expected = [row["chosen_logp"] - row["rejected_logp"] for row in read(tmp_path / f"{name}.jsonl")]
        margins[name] = [row["margin"] for row in read(tmp_path / name / "per_prompt.jsonl")]
        assert margins[name] == pytest.approx(expected, abs=1e-4)
        assert results["accuracy"] == sum(margin > 0 for margin in expected) / len(pairs)
        assert results["longer_accuracy"] == 0.0
    measured = {name: artifact(tmp_path / name) for name in ("policy", "other")}
    stage = ImplicitRewardAccuracy(policy=measured["policy"], reference=measured["other"])
    results = stage.run(tmp_path, context)
    changes = [own - base for own, base in zip(margins["policy"], margins["other"], strict=True)]
    assert [row["margin"] for row in read(tmp_path / "per_prompt.jsonl")] == pytest.approx(changes)
    assert results["accuracy"] == sum(change > 0 for change in changes) / len(changes)
    assert results["mean_margin"] == pytest.approx(sum(changes) / len(changes))


def test_implicit_rewards_are_of_the_same_pairs(context, tmp_path):
    context.progress(1, 1)
    for name, ids in (("policy", "ab"), ("reference", "ac")):
        write_jsonl(tmp_path / name / "per_prompt.jsonl", ({"id": key, "margin": 1.0} for key in ids))
    both = {name: artifact(tmp_path / name) for name in ("policy", "reference")}
    with pytest.raises(DataError, match="did not read the same pairs"):
        ImplicitRewardAccuracy(**both).run(tmp_path, context)
