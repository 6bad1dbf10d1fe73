"""The synthetic data: stages, the whole program with a scripted generator and with a tiny model, and its files."""

import json
from collections import Counter

import pytest
import yaml
from synthetic_runs import SCRIPTED, conversations, read, recipe, run_here

from lit_align.cli.functions import run_function
from lit_align.commands.run import run
from lit_align.errors import ConfigError, DataError
from lit_align.files import sha256_of_file, write_jsonl
from lit_align.generation.openai import OpenAIGenerator
from lit_align.loop import Runner
from lit_align.loop.parts import rows_of
from lit_align.loop.recipe import load_recipe
from lit_align.loop.sampling import Generate
from lit_align.loop.stage import fingerprint
from lit_align.loop.synthesis.stages import Apply, Compose, Given, Parse
from lit_align.recipes_path import find_recipe
from lit_align.synthesis.prompts import topics
from lit_align.synthesis.steps import AskList
from lit_align.synthesis.template import Template, Templates

PRODUCTS = ("sft", "dialogues", "preference_prompts")


@pytest.fixture(scope="module")
def outside(tmp_path_factory):
    """Documents, entities and real prompts, as arguments of the program."""
    folder = tmp_path_factory.mktemp("outside")
    for name in ("documents", "entities"):
        write_jsonl(folder / f"{name}.jsonl", ({"text": f"About {name} {i}, {{num}}."} for i in range(6)))
    texts = {
        name: {"path": str(folder / f"{name}.jsonl"), "dataset": name, "licence": "free"}
        for name in ("documents", "entities")
    }
    excluded = folder / "evaluation.jsonl"
    write_jsonl(excluded, [{"prompt": "Real 1?"}])
    return {
        "documents": texts["documents"],
        "closed_qa": {"num": 2, "revisions": 1},
        "math_keywords": {"entities": texts["entities"]},
        "coding_keywords": {"entities": texts["entities"]},
        "real_prompts": conversations(folder / "real.jsonl", 30),
        "excluded": [str(excluded)],
        "uses": {"revision": 8},  # of which the scripted generator follows some
    }


@pytest.fixture(scope="module")
def made(outside, tmp_path_factory):
    """The laptop recipe with a generator that obliges, and with everything that may come from outside."""
    return run_here("synthetic_data/laptop", tmp_path_factory.mktemp("laptop"), generator=SCRIPTED, **outside)


def test_every_stage_accounts_for_every_row(made):
    results, rows = made
    counted = {title: found for title, found in results.items() if "dropped" in found}
    for title, found in counted.items():
        assert found["read"] == found["kept"] + sum(found["dropped"].values()), title
    parsed = {title: found for title, found in counted.items() if "responses" in found}
    assert len(parsed) > 20
    for title, found in parsed.items():
        assert found["kept"] == len(rows[title])
        if not title.endswith("first round"):
            rounds = (f"{title}: responses", f"{title}: missing: responses")
            assert found["responses"] == sum(results[name]["samples"] for name in rounds if name in results)


def test_all_tasks_are_made_and_no_more_topics_than_asked(made):
    results, rows = made
    assert results["topics"]["kept"] == 16
    assert {"tea", "night trains", "tax returns"} & {row["text"] for row in rows["topics"]}
    assert results["math keywords"]["kept"] == 8
    tasks = Counter(row["meta"]["task"] for row in rows["all prompts"])
    assert set(tasks) == {"open_qa", "writing", "closed_qa", "math", "coding", "real"}
    assert all(row["source"]["licence"] == "free" for row in rows["all prompts"] if row["meta"]["task"] == "real")
    closed = [row for row in rows["all prompts"] if row["meta"]["task"] == "closed_qa"]
    assert all("About documents" in row["prompt"][0]["content"] and "document" not in row["meta"] for row in closed)
    entities = {row["text"] for row in rows["math entities"]}
    assert 0 < len(entities) < 6


def test_a_shortfall_is_asked_for_once(made):
    results, rows = made
    (again,) = rows["macro topics: missing: prompts"]
    taken = [row["text"] for row in rows["macro topics: first round"]]
    assert len(taken) == 3
    assert all(text in again["prompt"][0]["content"] for text in taken)
    assert results["macro topics"]["kept"] == 4
    # Nobody is asked where nothing is missing.
    assert results["open qa: revised: missing: responses"]["samples"] == 0


def test_no_prompt_has_two_uses_and_none_is_of_the_evaluation(made):
    results, rows = made
    uses = {name: {str(r["prompt"]) for r in rows[f"{name}: safe prompts"]} for name in ("dialogues", "answers")}
    preference = {str(row["prompt"]) for row in rows["prompts for preferences"]}
    assert not uses["dialogues"] & uses["answers"]
    assert not (uses["dialogues"] | uses["answers"]) & preference
    assert results["clean prompts"]["dropped"]["contaminated"] == 1
    assert not any("Real 1?" in text for texts in (*uses.values(), preference) for text in texts)


def test_unsafe_prompts_are_for_preferences_only(made):
    results, rows = made
    assert not any(row["meta"].get("unsafe") for row in rows["demonstrations"])
    assert any(row["meta"].get("unsafe") for row in rows["prompts for preferences"])
    assert sum(results[f"{name}: safe prompts"]["dropped"].get("unsafe", 0) for name in ("dialogues", "answers")) > 0


def test_demonstrations_are_conversations_that_can_be_trained_on_and_traced(made, tmp_path):
    from lit_align.data.sources import read_rows

    _, rows = made
    demonstrations = rows["demonstrations"]
    write_jsonl(tmp_path / "sft.jsonl", demonstrations)
    _, accounting = read_rows(tmp_path / "sft.jsonl", "sft")
    assert accounting.kept == len(demonstrations)
    turns = Counter(len(row["messages"]) for row in demonstrations)
    assert set(turns) == {2, 4, 6}  # answers, revisions, dialogues
    assert all(row["messages"][-1]["role"] == "assistant" for row in demonstrations)
    known = {row["id"]: row for found in rows.values() for row in found if "parents" in row}
    ends = set()
    for row in demonstrations:
        while row["parents"]:
            row = known[row["parents"][0]]
        ends.add(row["kind"])
    assert {"prompt", "document"} <= ends <= {"subject", "topic", "level", "language", "keyword", "document", "prompt"}
    assert all(row["generators"] == ["scripted"] for row in demonstrations)


def test_preference_prompts_end_with_the_user_and_those_with_instructions_can_be_verified(made, tmp_path):
    from lit_align.data.sources import read_prompts
    from lit_align.synthesis.verifiers.ifeval.registry import read_instructions

    _, rows = made
    prompts = rows["prompts for preferences"]
    write_jsonl(tmp_path / "prompts.jsonl", prompts)
    assert read_prompts(tmp_path / "prompts.jsonl")[1].kept == len(prompts)
    assert all(row["prompt"][-1]["role"] == "user" for row in prompts)
    forms = Counter(row["meta"].get("instructed") for row in prompts)
    assert {name: forms[name] for name in ("single", "all_turns", "revision")} == {
        "single": 8,
        "all_turns": 4,
        "revision": 8,
    }
    assert all(read_instructions(row) for row in prompts if "instructed" in row["meta"])
    assert Counter(row["meta"]["task"] for row in prompts)["two_turn"] == 12


def test_users_are_polite_in_responses_and_not_in_dialogues(made):
    _, rows = made
    said = [row["response"] for row in rows["dialogues: turn 2, user: responses"]]
    assert all(text.startswith("Thank you") for text in said)
    users = [turn["content"] for row in rows["dialogues: verified"] for turn in row["messages"][2::2]]
    assert users
    assert not any("Thank you" in text for text in users)


def test_the_same_seed_gives_the_same_files_and_another_one_others(outside, tmp_path):
    small = {
        "topics": {"num_macro": 0, "given": ["tea", "trains"]},
        "writing": {"num": 2, "revisions": 0},
        "real_prompts": outside["real_prompts"],
        "uses": {"single": 2, "two_turn": 2},
        "generator": SCRIPTED,
    }
    path = recipe(tmp_path / "own.yaml", **small)
    one, two, other = (run_here(path, tmp_path / name, seed=seed)[1] for name, seed in (("a", 0), ("b", 0), ("c", 1)))
    assert one == two
    assert one["demonstrations"] != other["demonstrations"]


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    """A model that nobody trained, with room for every template."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    from lit_align.models.tokenizer import load_tokenizer, train_tokenizer
    from lit_align.synthesis.template import shipped, template_names

    folder = tmp_path_factory.mktemp("tiny") / "model"
    texts = [shipped(name).text for name in template_names()]
    train_tokenizer(texts * 4, vocab_size=400, output=folder)
    tokenizer = load_tokenizer(folder)
    torch.manual_seed(0)
    sizes = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    end = tokenizer.convert_tokens_to_ids("<|im_end|>")
    config = AutoConfig.for_model(
        "llama", vocab_size=len(tokenizer), max_position_embeddings=2048, eos_token_id=end, **sizes
    )
    AutoModelForCausalLM.from_config(config).save_pretrained(folder)
    return str(folder)


def test_of_a_model_that_babbles_every_response_is_accounted_for(tiny, outside, tmp_path):
    short = {"max_new_tokens": 12}
    results, rows = run_here(
        "synthetic_data/laptop",
        tmp_path,
        generator=tiny,
        min_items=0,
        sampled=short,
        turns=short,
        real_prompts=outside["real_prompts"],
        preferences=None,  # it says the same of everything, so that there would be none
    )
    assert results["macro topics: responses"]["samples"] == 1
    assert results["macro topics"]["dropped"] == {"cut_off": 2}
    for title, found in results.items():
        if "responses" in found:
            assert found["read"] == found["kept"] + sum(found["dropped"].values()) >= found["responses"], title
    assert results["answers: all: responses"]["samples"] > 0
    assert all(row["generator"]["model"]["fingerprint"] for row in rows["answers: all: responses"])


def test_a_model_that_babbles_stops_the_run_with_the_reason(tiny, tmp_path):
    with pytest.raises(DataError, match=r"macro topics: 0 of 2 are left, at least 1 are needed; most.*cut_off \(2\)"):
        run_here("synthetic_data/laptop", tmp_path, generator=tiny, sampled={"max_new_tokens": 4})


@pytest.mark.slow
def test_the_laptop_recipe_runs_as_a_user_would_run_it(outside, tmp_path, capsys):
    options = ["--workdir", str(tmp_path / "run"), "--tracking_uri", "none", "--parallel", "2", "--threads", "1"]
    own = {**yaml.safe_load(find_recipe("synthetic_data/laptop").read_text())["init_args"], "generator": SCRIPTED}
    path = recipe(tmp_path / "own.yaml", **{**own, "real_prompts": outside["real_prompts"]})
    assert run_function(run, [path, *options], prog="lit-align run") == 0
    check_files(
        tmp_path / "run", tables=("Tasks", "Topics", "Responses", "Verdicts", "Preferences", "Judgements", "Data")
    )
    for name in ("preferences", "preferences_verified"):
        assert read(tmp_path / "run" / "data" / f"{name}.jsonl")
        assert read(tmp_path / "run" / "data" / f"{name}_candidates.jsonl")


def check_files(workdir, tables=("Tasks", "Responses", "Data")):
    results = json.loads((workdir / "results.json").read_text())
    assert results["is_complete"]
    assert [row["title"] for row in results["rows"]] == ["Demonstrations", "Dialogues", "Preference prompts"]
    for name, row in zip(PRODUCTS, results["rows"], strict=True):
        assert row["metrics"]["rows"]["value"] == len(read(workdir / "data" / f"{name}.jsonl")) > 0
    assert [table["title"] for table in results["tables"]] == list(tables)
    assert (workdir / "report.html").stat().st_size > 10_000


def test_a_run_leaves_its_files_and_a_report_and_does_nothing_the_second_time(tmp_path, make_runner):
    settings = {
        "generator": SCRIPTED,
        "real_prompts": conversations(tmp_path / "real.jsonl", 20),
        "uses": {"turns": 1, "single": 2},
    }

    def once():
        program, runner = load_recipe(recipe(tmp_path / "own.yaml", **settings)).program, make_runner()
        program.build(runner)
        assert runner.run(finish=lambda: program.finish(runner)) == 0
        check_files(runner.workdir)
        hashes = [sha256_of_file(runner.workdir / "data" / f"{name}.jsonl") for name in PRODUCTS]
        return hashes, [path.stat().st_mtime_ns for path in sorted(runner.workdir.glob("store/*/manifest.json"))]

    assert once() == once()


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
