"""Dialogues and preferences of the synthetic data, judged, verified and rewarded."""

from synthetic_runs import SCRIPTED, conversations, recipe, run_here

from lit_align.loop.recipe import load_recipe
from lit_align.loop.synthesis.stages import Apply


def test_dialogues_below_the_reward_are_dropped(tmp_path, make_runner):
    settings = {
        "generator": SCRIPTED,
        "real_prompts": conversations(tmp_path / "real.jsonl", 20),
        "reward_model": "some/model",
        "min_reward": 1.5,
    }
    program = load_recipe(recipe(tmp_path / "own.yaml", **settings)).program
    program.build(runner := make_runner())
    stages = {node.title: node.stage for node in runner.nodes}
    score, above = stages["dialogues: scored"], stages["dialogues: above the threshold"]
    assert score.model.path.as_posix() == "some/model"
    assert isinstance(above, Apply)
    assert above.transform.threshold == 1.5
    assert above.items[0].artifact.title == "dialogues: scored"


def test_preferences_are_made_by_judge_and_by_verifier_from_the_samples_of_all_models(tmp_path):
    settings = {
        "generator": SCRIPTED,
        "real_prompts": conversations(tmp_path / "real.jsonl", 30),
        "uses": {"dialogues": 0, "answers": 0, "single": 12},
        "preferences": {
            "by": "judge",
            "sampled": {"num_samples": 3, "temperature": 1.0},
            "committee": [{**SCRIPTED, "init_args": {"longest": 50000}}],
        },
    }
    results, rows = run_here(recipe(tmp_path / "own.yaml", **settings), tmp_path / "run")
    plain, pairs = rows["preferences: prompts"], rows["preferences"]
    assert results["preferences: questions to the judge"]["questions"] == 2 * len(pairs) == 2 * len(plain)
    assert results["preferences"]["first_place"] == 0.5
    assert all(pair["chosen"] < pair["rejected"] for pair in pairs)  # which the judge prefers
    verified = rows["verified preferences"]
    assert verified
    assert all(pair["chosen_reward"] > pair["rejected_reward"] for pair in verified)
    responses = [results[f"verified preferences: verdicts {n}"]["responses"] for n in (1, 2)]
    assert responses == [36, 36]


def test_the_judge_is_asked_by_a_template_of_the_user(tmp_path, make_runner):
    (tmp_path / "judge.txt").write_text("{fence} {request} {a} {b} {criteria}? Verdict {code}: A, B or tie")
    settings = {
        "generator": SCRIPTED,
        "real_prompts": conversations(tmp_path / "real.jsonl", 9),
        "preferences": {"by": "judge"},
        "templates": {"judge": str(tmp_path / "judge.txt")},
    }
    load_recipe(recipe(tmp_path / "own.yaml", **settings)).program.build(runner := make_runner())
    stages = {node.title: node.stage for node in runner.nodes}
    for title in ("preferences: questions to the judge", "preferences"):
        assert stages[title].judge.template.text.startswith("{fence} {request}")


def test_preferences_by_reward_score_the_samples_of_every_model_and_pair_them(tmp_path, make_runner):
    settings = {
        "generator": SCRIPTED,
        "assistant": {**SCRIPTED, "init_args": {"longest": 70000}},
        "reward_model": "some/model",
        "real_prompts": conversations(tmp_path / "real.jsonl", 20),
        "preferences": {"committee": ["other/model"], "strategy": "max_random", "min_margin": 0.5},
    }
    load_recipe(recipe(tmp_path / "own.yaml", **settings)).program.build(runner := make_runner())
    stages = {node.title: node.stage for node in runner.nodes}
    pair = stages["preferences"]
    assert (pair.strategy, pair.min_margin) == ("max_random", 0.5)
    assert [part.artifact.title for part in (pair.rows, *pair.others)] == [
        "preferences: rewards 1",
        "preferences: rewards 2",
    ]
    assert stages["preferences: responses 1"].model.longest == 70000
    assert stages["preferences: responses 2"].model.path.as_posix() == "other/model"
    assert "verified preferences" not in stages
