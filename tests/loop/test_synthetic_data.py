"""The synthetic data: the whole program with a scripted generator and with a tiny model, and its files."""

import json
from collections import Counter

import pytest
import yaml
from synthetic_runs import SCRIPTED, conversations, read, recipe, run_here

from lit_align.cli.functions import run_function
from lit_align.commands.run import run
from lit_align.errors import DataError
from lit_align.files import sha256_of_file, write_jsonl
from lit_align.loop.recipe import load_recipe
from lit_align.recipes_path import find_recipe

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
