"""What the program of synthetic data takes and refuses, and what names its stages."""

import json
from collections import Counter

import pytest
from synthetic_runs import SCRIPTED, conversations, read, recipe, run_here

from lit_align.errors import ConfigError, DataError
from lit_align.files import write_jsonl
from lit_align.generation.openai import OpenAIGenerator
from lit_align.loop import Runner
from lit_align.loop.parts import rows_of
from lit_align.loop.recipe import load_recipe
from lit_align.loop.sampling import Generate
from lit_align.loop.stage import fingerprint
from lit_align.loop.synthesis.stages import Compose, Given, Parse
from lit_align.synthesis.prompts import topics
from lit_align.synthesis.steps import AskList
from lit_align.synthesis.template import Template, Templates


def test_every_language_has_its_own_keywords_and_all_that_people_collected(tmp_path):
    settings = {
        "generator": SCRIPTED,
        "coding_keywords": {"parts": ["Python", "JavaScript"], "num_macro": 2, "num_sub": 2, "given": ["loops"]},
        "coding": {"num": 1},
    }
    _, rows = run_here(recipe(tmp_path / "own.yaml", **settings), tmp_path / "run")
    collected = [row["meta"]["language"] for row in rows["coding keywords"] if row["text"] == "loops"]
    assert sorted(collected) == ["JavaScript", "Python"]
    made = Counter(row["meta"]["language"] for row in rows["coding keywords"])
    assert made == {"Python": 5, "JavaScript": 5}


def test_near_duplicates_and_prompts_that_share_words_with_an_evaluation_are_dropped_before_the_division(tmp_path):
    words = "one two three four five six seven eight nine ten eleven twelve"
    long = "write about rain and snow and wind and hail and fog and sun and mist and storm and dew and frost today"
    texts = [f"Tell me of {words}", f"Is it so that {words} end?", f"Please {long}", f"Please {long} now"]
    texts += [f"What is {i}?" for i in range(9)]
    write_jsonl(tmp_path / "chats.jsonl", ({"prompt": text} for text in texts))
    write_jsonl(tmp_path / "evaluation.jsonl", [{"prompt": f"Count: {words}, and so on."}])
    settings = {
        "generator": SCRIPTED,
        "real_prompts": {
            "path": str(tmp_path / "chats.jsonl"),
            "dataset": "c",
            "licence": "free",
            "is_moderated": False,
        },
        "excluded": [str(tmp_path / "evaluation.jsonl")],
        "cleaning": {"over": "prompt"},
        "uses": {"dialogues": 0, "answers": 0},
    }
    results, rows = run_here(recipe(tmp_path / "own.yaml", **settings), tmp_path / "run")
    found = results["clean prompts"]
    assert (found["read"], found["kept"]) == (13, 10)
    assert found["dropped"] == {"contaminated": 2, "near_duplicate": 1}
    assert found["contamination"] == {"excluded prompts 1": 2}
    assert all("eleven" not in row["prompt"][0]["content"] for row in rows["prompts for preferences"])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"closed_qa": {"num": 1}}, "closed_qa needs documents"),
        ({"math": {"num": 1}}, "math needs math_keywords"),
        ({"min_reward": 1.0}, "min_reward needs a reward_model"),
        ({"preferences": {}}, "preferences by reward need a reward_model"),
        ({"uses": {"dialogues": 0, "answers": 0, "preference": 0}}, "the shares must not be negative"),
        ({"uses": {"most": {"sft": 3}}}, "unknown sft; known: dialogues, answers, preference"),
        ({"topics": {"num_macro": 0}}, "without num_macro there must be given ones"),
        ({"templates": {"subtopic": "x"}}, "Did you mean subtopics"),
        ({"cleaning": {"keep": "reward"}}, r"cleaning\.keep: no row has a reward"),
        ({"cleaning": {"rules": ["tone"]}}, "tone"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_runs(change, message, tmp_path):
    with pytest.raises(ConfigError, match=message):
        load_recipe(recipe(tmp_path / "own.yaml", generator="m", open_qa={"num": 1}, **change))


def test_a_program_without_prompts_is_refused(tmp_path, make_runner):
    with pytest.raises(ConfigError, match="no prompts are asked for"):
        load_recipe(recipe(tmp_path / "own.yaml", generator=SCRIPTED)).program.build(make_runner())


def test_the_recipe_at_paper_scale_asks_a_server_for_the_published_sizes(tmp_path):
    program = load_recipe("nemotron4/synthetic_data").program
    assert isinstance(program.generator, OpenAIGenerator)
    assert (program.topics.most, program.math_keywords.most, program.coding_keywords.most) == (3000, 17000, 12000)
    assert program.uses.turns == 3
    assert program.turns.temperature == 0
    assert {source.dataset: source.verifier for source in program.verified_prompts} == {
        "GSM8K": "gsm8k",
        "MATH": "math",
    }
    assert program.preferences.by == "judge"


def test_the_text_of_a_template_and_the_version_of_a_step_decide_a_stage_and_the_address_of_a_server_does_not(
    make_runner,
):
    runner = make_runner()
    items = rows_of(runner.add(Given(kind="subject", texts=("art",), meta={}), title="subjects"))
    step = topics.macro_topics(Templates(), num=2)
    compose = Compose(step=step, items=(items,))
    text = Template(name="macro_topics", text="Other {num} {subject}")
    other = AskList(kind=step.kind, num=2, template=text, again=step.again, titles=True, max_characters=120)
    assert fingerprint(compose) != fingerprint(Compose(step=other, items=(items,)))

    def generated(**options):
        return fingerprint(Generate(model=OpenAIGenerator(**options), prompts=items))

    here, there = "http://127.0.0.1:1/v1", "http://127.0.0.1:2/v1"
    assert generated(base_url=here, model="a") == generated(base_url=there, model="a")
    assert generated(base_url=here, model="a") != generated(base_url=here, model="b")


def test_the_version_of_a_step_counts(monkeypatch, make_runner):
    runner = make_runner()
    items = rows_of(runner.add(Given(kind="subject", texts=("art",), meta={}), title="subjects"))
    compose = Compose(step=topics.macro_topics(Templates(), num=2), items=(items,))
    before = fingerprint(compose)
    monkeypatch.setattr(AskList, "version", AskList.version + 1)
    assert fingerprint(compose) != before
    assert Parse(step=compose.step, responses=(items,)).min_items == 1


def test_how_much_a_step_must_give_decides_no_content(tmp_path):
    made = []
    for least in (1, 0):
        program = load_recipe("synthetic_data/laptop", init_args={"generator": SCRIPTED, "min_items": least}).program
        runner = Runner(tmp_path, preload=(), parallel=1, threads=1)
        program.build(runner)
        made.append([(node.title, node.artifact.fingerprint) for node in runner.nodes])
    assert made[0] == made[1]


def test_a_stage_that_fails_leaves_the_files_of_what_there_is_and_may_give_nothing_on_request(tmp_path, make_runner):
    settings = {
        "generator": SCRIPTED,
        "real_prompts": conversations(tmp_path / "real.jsonl", 20),
        "uses": {"dialogues": 0, "answers": 0.5, "preference": 0.5, "single": 2},
        # Of one response each there is no pair.
        "preferences": {"by": "judge", "sampled": {"num_samples": 1}},
    }

    def once(**more):
        program, runner = (
            load_recipe(recipe(tmp_path / "own.yaml", **settings, **more)).program,
            make_runner(parallel=1),
        )
        program.build(runner)
        runner.run(finish=lambda: program.finish(runner), stopped=lambda: program.stopped(runner))

    data = tmp_path / "run" / "data"
    with pytest.raises(DataError, match="no rows"):
        once()
    assert len(read(data / "sft.jsonl")) > 0
    assert not (data / "preferences.jsonl").exists()
    assert not json.loads((tmp_path / "run" / "results.json").read_text())["is_complete"]
    once(min_items=0)
    assert read(data / "preferences.jsonl") == read(data / "preferences_verified.jsonl") == []
    results = json.loads((tmp_path / "run" / "results.json").read_text())
    assert results["is_complete"]
    assert {"Preferences", "Judgements"} <= {table["title"] for table in results["tables"]}
    del settings["preferences"]
    once()
    assert {path.name for path in data.iterdir()} == {"sft.jsonl", "preference_prompts.jsonl"}
