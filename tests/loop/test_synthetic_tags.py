"""Tags, a diverse sample and semantic duplicates among the prompts of synthetic data."""

import json
from collections import Counter

import pytest
from synthetic_runs import SCRIPTED, recipe, run_here

from lit_align.errors import ConfigError
from lit_align.files import write_jsonl
from lit_align.loop.recipe import load_recipe
from lit_align.synthesis.hygiene.embedding import Embedder
from lit_align.synthesis.hygiene.sampling import diverse_sample

TASKS = (
    "Translate rain.",
    "Write a poem about fog.",
    "Explain why it snows.",
    "Write Python code in 50 words.",
    "Hail?",
)


def settings(folder, texts, **more):
    write_jsonl(folder / "prompts.jsonl", ({"prompt": text} for text in texts))
    source = {"path": str(folder / "prompts.jsonl"), "dataset": "own", "licence": "free", "is_moderated": False}
    return {"generator": SCRIPTED, "real_prompts": source, "uses": {"dialogues": 0, "answers": 0.5}, **more}


def test_the_generator_tags_the_prompts_and_a_sample_covers_the_tags(tmp_path):
    texts = [f"What is number {n}?" for n in range(60)]
    more = {"tags": {"most": 2}, "cleaning": {"over": "prompt", "near": None, "sample": 10, "min_tag_rows": 2}}
    results, rows = run_here(recipe(tmp_path / "own.yaml", **settings(tmp_path, texts, **more)), tmp_path / "run")
    said = [row["response"] for row in rows["prompt tags: responses"]]
    told = [text for text in said if text.startswith("{")]
    assert results["prompt tags"] == {
        "responses": 60,
        "read": 60,
        "kept": len(told),
        "dropped": {"no_tags": 60 - len(told)},
    }
    tagged = rows["prompt tags"]
    asked = {row["item"]["id"]: row["response"] for row in rows["prompt tags: responses"]}
    for row in tagged:
        response = json.loads(asked[row["id"]])
        assert row["tags"] == list(dict.fromkeys(response["tags"]))[:2]
        assert (row["meta"]["topic"], row["meta"]["difficulty"]) == (response["topic"], response["difficulty"])
    sample = rows["diverse sample of the prompts"]
    assert results["diverse sample of the prompts"]["dropped"] == {"not_sampled": len(told) - 10}
    frequent = {tag for tag, n in Counter(tag for row in tagged for tag in row["tags"]).items() if n >= 2}
    counted = [[tag for tag in row["tags"] if tag in frequent] for row in tagged]
    drawn = diverse_sample(counted, 10, ranks=[0.0] * len(counted))
    assert Counter(len(row["tags"]) for row in sample) == Counter(len(counted[n]) for n in drawn)
    # What is made of a prompt keeps its tags.
    by_text = {row["prompt"][0]["content"]: row["tags"] for row in sample}
    learned = rows["demonstrations"]
    assert learned
    assert all(row["tags"] == by_text[row["messages"][0]["content"]] for row in learned)


def test_rules_tag_the_prompts_and_the_report_counts_the_tags(tmp_path, make_runner):
    texts = [f"{text[:-1]}, for the {n}th time." for n, text in enumerate(TASKS * 4)]
    more = {"tags": {"by": "rules"}, "uses": {"dialogues": 0, "answers": 0, "two_turn": 5}}
    program = load_recipe(recipe(tmp_path / "own.yaml", **settings(tmp_path, texts, **more))).program
    program.build(runner := make_runner())
    assert runner.run(finish=lambda: program.finish(runner)) == 0
    rows = [
        json.loads(line) for line in (runner.workdir / "data" / "preference_prompts.jsonl").read_text().splitlines()
    ]
    assert len(rows) == 25
    tables = {table["title"]: table for table in json.loads((runner.workdir / "results.json").read_text())["tables"]}
    shown = {row["label"]: row["preference_prompts"]["value"] for row in tables["Tags"]["rows"]}
    assert shown == Counter(tag for row in rows for tag in row["tags"])
    once = {"translation": 4, "creative writing": 4, "explanation": 4, "code": 4, "length": 4}
    twice = Counter(tag for row in rows for tag in row["tags"] if row["meta"]["task"] == "real")
    assert twice == once
    assert not {"Topics", "Difficulty", "Quality"} & set(tables)


def test_topics_and_grades_have_tables_with_the_grades_in_their_order(tmp_path, make_runner):
    texts = [f"What is number {n}?" for n in range(40)]
    more = {"tags": {}, "uses": {"dialogues": 0.5, "answers": 0, "turns": 1}}
    program = load_recipe(recipe(tmp_path / "own.yaml", **settings(tmp_path, texts, **more))).program
    program.build(runner := make_runner())
    assert runner.run(finish=lambda: program.finish(runner)) == 0
    tables = {table["title"]: table for table in json.loads((runner.workdir / "results.json").read_text())["tables"]}
    grades = [row["label"] for row in tables["Difficulty"]["rows"]]
    assert grades == sorted(grades)
    for name, key in (("Topics", "topic"), ("Difficulty", "difficulty"), ("Quality", "quality")):
        for product in ("sft", "preference_prompts"):
            file = runner.workdir / "data" / f"{product}.jsonl"
            counted = Counter(str(json.loads(line)["meta"][key]) for line in file.read_text().splitlines())
            assert {row["label"]: row[product]["value"] for row in tables[name]["rows"]} == {
                row["label"]: counted[row["label"]] for row in tables[name]["rows"]
            }
            assert sum(counted.values()) == sum(row[product]["value"] for row in tables[name]["rows"]) > 0
    assert "Tags" in (runner.workdir / "report.html").read_text()


class FirstWord(Embedder):
    """Texts with the same first word mean the same."""

    def embed(self, texts):
        import numpy as np

        first = [text.split()[0] for text in texts]
        names = sorted(set(first))
        return np.eye(len(names), dtype=np.float32)[[names.index(word) for word in first]]


def test_prompts_that_mean_the_same_are_dropped(tmp_path, monkeypatch):
    loaded = []

    def load(model, *, library):
        loaded.append((model, library))
        return FirstWord()

    monkeypatch.setattr("lit_align.synthesis.hygiene.embedding.load_embedder", load)
    texts = ["Fog: what is it?", "Fog? Tell me.", "Hail: tell me.", "fog: and again?", "Dew: hm?"]
    cleaning = {"over": "prompt", "near": None, "semantic": 0.9}
    more = {"cleaning": cleaning, "embedding": {"model": "some/model", "library": "model2vec"}}
    results, _ = run_here(recipe(tmp_path / "own.yaml", **settings(tmp_path, texts, **more)), tmp_path / "run")
    assert loaded == [("some/model", "model2vec")]
    found = results["clean prompts"]
    assert (found["read"], found["kept"], found["dropped"]) == (5, 4, {"semantic_duplicate": 1})


def test_prompts_with_known_answers_are_not_sampled(tmp_path):
    sums = [{"question": f"Explain: what is {n} plus 1?", "answer": f"#### {n + 1}"} for n in range(6)]
    for name, some in (("one", sums[:4]), ("two", sums[4:])):
        write_jsonl(tmp_path / f"{name}.jsonl", some)
    source = {"dataset": "SUMS", "licence": "MIT", "verifier": "gsm8k"}
    more = {
        "verified_prompts": [{**source, "path": str(tmp_path / f"{name}.jsonl")} for name in ("one", "two")],
        "cleaning": {"over": "prompt", "near": None, "sample": 3, "tags_by": "rules"},
    }
    results, rows = run_here(recipe(tmp_path / "own.yaml", **settings(tmp_path, TASKS, **more)), tmp_path / "run")
    assert results["diverse sample of the prompts"]["kept"] == 3
    assert sum("verifier" in row["meta"] for row in rows["prompts for preferences"]) == 6
    assert (results["SUMS 1: prompts"]["kept"], results["SUMS 2: prompts"]["kept"]) == (4, 2)


def test_a_data_set_is_not_called_as_a_task_is(tmp_path, make_runner):
    sources = [{"path": str(tmp_path / "prompts.jsonl"), "dataset": "real", "licence": "MIT", "verifier": "gsm8k"}]
    given = settings(tmp_path, TASKS, verified_prompts=sources)
    program = load_recipe(recipe(tmp_path / "own.yaml", **given)).program
    with pytest.raises(ConfigError, match="real is a task already"):
        program.build(make_runner())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"cleaning": {"semantic": 0.9}}, r"cleaning.semantic \(a cosine\) and embedding"),
        ({"embedding": {"model": "m"}}, r"cleaning.semantic \(a cosine\) and embedding"),
        ({"cleaning": {"sample": 9}}, "cleaning.sample draws by tags, and no row has any"),
    ],
)
def test_half_a_setting_is_refused_before_anything_runs(change, message, tmp_path):
    with pytest.raises(ConfigError, match=message):
        load_recipe(recipe(tmp_path / "own.yaml", **settings(tmp_path, TASKS, **change)))
