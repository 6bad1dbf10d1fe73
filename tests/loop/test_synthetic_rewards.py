"""Demonstrations above a reward, and pairs by reward, with a tiny reward model that nobody trained."""

import json
import statistics

import pytest
from synthetic_runs import SCRIPTED, conversations, recipe, run_here


@pytest.fixture(scope="module")
def reward_model(tmp_path_factory):
    """A folder with random weights, large enough that responses get different rewards."""
    import torch

    import lit_align
    from lit_align.models.tokenizer import train_tokenizer

    folder = tmp_path_factory.mktemp("reward")
    train_tokenizer(["An answer about 12ab.", "Real 1?", "<<ANSWER>> *A*"] * 4, vocab_size=300, output=folder / "tok")
    sizes = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    config = {
        "model_type": "llama",
        "vocab_size": 300,
        "max_position_embeddings": 512,
        "initializer_range": 0.5,
        **sizes,
    }
    backbone = lit_align.HFBackbone(config=config, tokenizer=str(folder / "tok"), seed=0)
    module = lit_align.RewardRegression(backbone, attributes=["helpfulness"], weights={"helpfulness": 1.0})
    module.configure_model()
    torch.nn.init.normal_(module.head.layers[-1].weight, generator=torch.Generator().manual_seed(0))
    lit_align.save_model(module, folder / "model")
    return str(folder / "model")


@pytest.fixture(scope="module")
def settings(reward_model, tmp_path_factory):
    folder = tmp_path_factory.mktemp("given")
    return {
        "generator": SCRIPTED,
        "real_prompts": conversations(folder / "real.jsonl", 30),
        "uses": {"dialogues": 0.3, "answers": 0.3, "preference": 0.4, "turns": 2},
        "reward_model": reward_model,
    }


def rewards_of(reward_model, rows, tmp_path):
    """The rewards that the command gives the same rows."""
    from lit_align.commands.score import score
    from lit_align.files import write_jsonl

    write_jsonl(tmp_path / "rows.jsonl", rows)
    score(model=reward_model, data=str(tmp_path / "rows.jsonl"), output=str(tmp_path / "scored.jsonl"))
    return [json.loads(line)["reward"] for line in (tmp_path / "scored.jsonl").read_text().splitlines()]


def test_exactly_the_demonstrations_below_the_reward_are_dropped(settings, reward_model, tmp_path):
    results, rows = run_here(recipe(tmp_path / "all.yaml", **settings), tmp_path / "all")
    every = rows["demonstrations"]
    rewards = [row["reward"] for row in every]
    assert len(set(rewards)) > 5
    plain = [{name: value for name, value in row.items() if name not in ("reward", "helpfulness")} for row in every]
    assert rewards == pytest.approx(rewards_of(reward_model, plain, tmp_path), abs=1e-5)
    assert results["sft.jsonl"]["reward"] == pytest.approx(statistics.mean(rewards))

    threshold = statistics.median(rewards)
    path = recipe(tmp_path / "some.yaml", **settings, min_reward=threshold)
    results, rows = run_here(path, tmp_path / "some")
    above = {row["id"] for row in every if row["reward"] >= threshold}
    assert {row["id"] for row in rows["demonstrations"]} == above
    assert 0 < len(above) < len(every)
    counts = [results[f"{name}: above the threshold"] for name in ("dialogues", "answers")]
    assert sum(found["kept"] for found in counts) == len(above)
    assert sum(found["dropped"].get("low_reward", 0) for found in counts) == len(every) - len(above)


def test_pairs_by_reward_are_the_best_and_the_worst_of_all_models(settings, tmp_path):
    preferences = {"by": "reward", "sampled": {"num_samples": 3, "temperature": 1.0}}
    preferences["committee"] = [{**SCRIPTED, "init_args": {"longest": 50000}}]
    path = recipe(tmp_path / "own.yaml", **settings, preferences=preferences)
    results, rows = run_here(path, tmp_path / "run")
    scored = {}
    for row in (row for n in (1, 2) for row in rows[f"preferences: rewards {n}"]):
        scored.setdefault(row["prompt"], {})[row["response"]] = row["reward"]
    pairs = rows["preferences"]
    assert len(pairs) == len(scored) == results["preferences"]["kept"] > 5
    for pair in pairs:
        responses = scored[pair["prompt"][0]["content"]]
        assert pair["chosen_reward"] == max(responses.values()) == responses[pair["chosen"]]
        assert pair["rejected_reward"] == min(responses.values()) == responses[pair["rejected"]]

    margins = sorted(pair["chosen_reward"] - pair["rejected_reward"] for pair in pairs)
    margin = margins[len(margins) // 2]
    path = recipe(tmp_path / "wide.yaml", **settings, preferences={**preferences, "min_margin": margin})
    results, rows = run_here(path, tmp_path / "wide")
    wide = sum(found > margin for found in margins)
    assert len(rows["preferences"]) == wide
    assert results["preferences"]["dropped"] == {"small_margin": len(margins) - wide}
