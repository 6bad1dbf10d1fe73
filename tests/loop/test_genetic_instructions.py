"""Genetic Instruct as a program: colonies, cleaning, the product and its report, kills, tests in the sandbox."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml
from run_here import context_of, read, run_here

from lit_align.errors import ConfigError, DataError
from lit_align.files import write_jsonl
from lit_align.loop import Runner
from lit_align.loop.recipe import load_recipe
from lit_align.loop.synthesis.genetic.stages import Colony
from lit_align.synthesis.verifiers.code import CONSENT

CLASS = "lit_align.loop.synthesis.GeneticInstructions"
SCRIPTED = "scripted_generator.ScriptedGenerator"
SEEDS = ["Reverse a string of letters.", "Sum a list of numbers.", "Count the words of a text.", "Sort some names."]
SMALL = {"target": 30, "num_colonies": 2, "offspring": 6, "num_children": 3}
DRIVER = Path(__file__).with_name("drive_recipe.py")


def recipe(path, *, generator=None, evolution=None, **init_args):
    init_args = {
        "generator": {"class_path": SCRIPTED, "init_args": generator or {}},
        "given": SEEDS,
        "evolution": {**SMALL, **(evolution or {})},
        **init_args,
    }
    path.write_text(yaml.safe_dump({"class_path": CLASS, "init_args": init_args}))
    return str(path)


def colony_folders(runner):
    return [node.artifact.path for node in runner.nodes if isinstance(node.stage, Colony)]


@pytest.fixture(scope="module")
def outside(tmp_path_factory):
    """Seeds of a file, one of them of an evaluation, and that evaluation."""
    folder = tmp_path_factory.mktemp("outside")
    write_jsonl(folder / "seeds.jsonl", [{"text": "Find the largest of three numbers."}, {"text": "Roman numerals!"}])
    write_jsonl(folder / "evaluation.jsonl", [{"prompt": "roman  numerals"}])
    seeds = {"path": str(folder / "seeds.jsonl"), "dataset": "puzzles", "licence": "MIT"}
    return {"seeds": seeds, "excluded": [str(folder / "evaluation.jsonl")]}


@pytest.fixture(scope="module")
def made(outside, tmp_path_factory):
    """A finished run: its runner, and the results of every stage by title."""
    folder = tmp_path_factory.mktemp("genetic")
    program = load_recipe(recipe(folder / "genetic.yaml", **outside)).program
    runner = Runner(folder / "run", preload=(), parallel=2, threads=1)
    program.build(runner)
    assert runner.run(finish=lambda: program.finish(runner)) == 0
    return runner, {node.title: runner.results(node.artifact) for node in runner.nodes}


def test_the_product_has_the_size_that_is_wanted_and_can_be_trained_on(made):
    from lit_align.data.sources import read_rows

    runner, results = made
    product = runner.workdir / "data" / "instructions.jsonl"
    rows = read(product)
    assert len(rows) == results["instructions"]["kept"] == 30
    assert read_rows(product, "sft")[1].kept == 30
    tasks = [row["messages"][0]["content"] for row in rows]
    assert len(set(tasks)) == 30
    assert not set(tasks) & set(SEEDS)
    assert {row["meta"]["colony"] for row in rows} == {0, 1}
    assert all(row["meta"].keys() == {"task", "language", "colony", "generation", "operation"} for row in rows)
    assert all(row["generators"] == ["scripted"] for row in rows)


def test_every_offspring_and_every_response_is_accounted_for(made):
    runner, results = made
    for number, folder in enumerate(colony_folders(runner), start=1):
        found = results[f"colony {number}"]
        assert found["read"] == found["kept"] + sum(found["dropped"].values())
        assert found["kept"] == sum(found["grown"]) == len(read(folder / "rows.jsonl"))
        assert found["ended_by"] == "target"
        assert found["kept"] == 17  # half of 30 and a tenth, rounded up
        for kind, asked in found["asked"].items():
            kept = [row for file in folder.glob(f"asked/*-{kind}.jsonl") for row in read(file)]
            assert len(kept) == asked["samples"] > 0
        # A question is a task's first, then its solution's, and the judge is asked about every solution with code.
        fates, asked = found["dropped"], found["asked"]
        made_up = found["read"] - fates["no_words"] - fates.get("duplicate", 0)
        assert asked["solutions"]["samples"] == made_up
        assert asked["fitness"]["samples"] == made_up - fates["no_code"] - fates["syntax_error"]
        assert found["kept"] == asked["fitness"]["samples"] - fates["answered_no"] - fates.get("surplus", 0)


def test_colonies_ask_the_same_seeds_and_get_different_answers(made):
    runner, _ = made
    first, second = (
        {row["response"] for row in read(f / "asked" / "001-mutations.jsonl")} for f in colony_folders(runner)
    )
    assert first
    assert second
    assert not first & second


def test_seeds_of_an_evaluation_are_left_out_and_the_licence_of_the_others_is_handed_down(made):
    runner, results = made
    assert results["seeds"]["dropped"] == {"contaminated": 1}
    assert results["seeds"]["kept"] == 5
    asked = [row for folder in colony_folders(runner) for row in read(folder / "asked" / "001-mutations.jsonl")]
    assert not any("Roman" in row["prompt"] for row in asked)
    rows = read(runner.workdir / "data" / "instructions.jsonl")
    sources = [row.get("source") for row in rows]
    assert None in sources  # of the seeds in the recipe
    assert {"dataset": "puzzles", "licence": "MIT"} in sources
    assert results["clean instructions"]["licences"]["MIT"]["terms"] == "free"


def test_instructions_that_hold_an_evaluation_prompt_are_dropped(made, outside, tmp_path):
    runner, results = made
    task = read(runner.workdir / "data" / "instructions.jsonl")[0]["messages"][0]["content"]
    write_jsonl(tmp_path / "more.jsonl", [{"prompt": task.upper()}])
    excluded = [*outside["excluded"], str(tmp_path / "more.jsonl")]
    path = recipe(tmp_path / "own.yaml", **{**outside, "excluded": excluded})
    found, rows, _ = run_here(path, tmp_path / "run")
    assert found["clean instructions"]["contamination"]["excluded prompts 2"] == 1
    assert task not in {row["messages"][0]["content"] for row in rows["instructions"]}
    assert found["clean instructions"]["kept"] == results["clean instructions"]["kept"] - 1


def test_the_report_tells_every_fate(made):
    runner, _ = made
    results = json.loads((runner.workdir / "results.json").read_text())
    assert results["is_complete"]
    assert [row["title"] for row in results["rows"]] == ["Colony 1", "Colony 2", "Instructions"]
    assert [table["title"] for table in results["tables"]] == ["Offspring", "Operations", "Responses", "Data"]
    fates = results["tables"][0]["rows"]
    assert sum(row["tasks"]["value"] for row in fates) == sum(
        row["metrics"]["offspring"]["value"] for row in results["rows"][:2]
    )
    page = (runner.workdir / "report.html").read_text()
    assert "Growth" in page
    assert "30 instructions of 30 wanted" in page
    assert "return x + " in page


def test_the_same_seed_gives_the_same_instructions_and_another_one_others(made, outside, tmp_path):
    same = read(made[0].workdir / "data" / "instructions.jsonl")
    path = recipe(tmp_path / "own.yaml", **outside)
    again, other = (run_here(path, tmp_path / f"{n}", evolution={"seed": n})[1]["instructions"] for n in (0, 1))
    assert again == same
    assert not {row["id"] for row in other} & {row["id"] for row in same}


def test_after_kills_at_any_moment_no_response_is_asked_for_twice(made, outside, tmp_path):
    log, workdir = tmp_path / "log.txt", tmp_path / "run"
    path = recipe(tmp_path / "genetic.yaml", generator={"pause": 0.02, "log": str(log)}, **outside)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(DRIVER.parent), *sys.path])}
    moments, kills = random.Random(0), 0

    def start():
        return subprocess.Popen(
            [sys.executable, str(DRIVER), path, str(workdir)], env=environment, stdout=subprocess.DEVNULL
        )

    while kills < 2:
        driver, before = start(), len(log.read_text()) if log.exists() else 0
        while not (log.exists() and len(log.read_text()) > before):  # it is asking
            assert driver.poll() is None
            time.sleep(0.01)
        try:
            driver.wait(timeout=moments.uniform(0.0, 0.5))
            break
        except subprocess.TimeoutExpired:
            driver.send_signal(signal.SIGKILL)
            driver.wait()
            kills += 1
    assert kills
    assert start().wait(timeout=60) == 0
    taken = log.read_text().splitlines()
    assert len(taken) == len(set(taken))
    product = Path("data") / "instructions.jsonl"
    assert (workdir / product).read_bytes() == (made[0].workdir / product).read_bytes()


def test_solutions_must_pass_their_tests_in_the_sandbox_and_verdicts_are_kept(tmp_path, monkeypatch):
    monkeypatch.setenv(CONSENT, "1")
    evolution = {"target": 4, "num_colonies": 1, "num_tests": 2, "max_generations": 2, "offspring": 6}
    path = recipe(tmp_path / "own.yaml", evolution=evolution, allow_code_execution=True)
    results, rows, runner = run_here(path, tmp_path / "run")
    found, (folder,) = results["colony 1"], colony_folders(runner)
    verdicts = [row for file in sorted(folder.glob("asked/*-verdicts.jsonl")) for row in read(file)]
    failed = [row for row in verdicts if not row["verdict"]["passed"]]
    assert found["dropped"]["failed_tests"] == len(failed) > 0
    assert found["kept"] == len(verdicts) - len(failed) - found["dropped"].get("surplus", 0) > 0
    assert all(len(row["meta"]["test_list"]) == 2 for row in rows["instructions"])
    # A verdict that stands in the file is believed: another day may be slower.
    (folder / "rows.jsonl").unlink()
    for name in ("run", "check"):
        monkeypatch.setattr(f"lit_align.synthesis.verifiers.code.sandbox.Sandbox.{name}", lambda self, *job: None)
    node = next(node for node in runner.nodes if isinstance(node.stage, Colony))
    assert node.stage.run(folder, context_of(node)) == found


def test_tasks_that_mean_the_same_are_found_by_the_model_that_embeds(tmp_path):
    embedding = {"model": "some/model", "library": "model2vec"}
    settings = {"cleaning": {"over": "prompt", "semantic": 0.9}, "embedding": embedding}
    program = load_recipe(recipe(tmp_path / "own.yaml", **settings)).program
    program.build(runner := Runner(tmp_path / "run", preload=(), parallel=1, threads=1))
    stages = {node.title: node.stage for node in runner.nodes}
    clean = stages["clean instructions"]
    assert (clean.embedder.path.as_posix(), clean.library, clean.kind) == ("some/model", "model2vec", "sft")
    assert stages["seeds"].embedder is None


def test_a_model_whose_answers_are_of_no_use_stops_the_run_with_the_reason(tmp_path):
    path = recipe(tmp_path / "own.yaml", generator={"longest": 10})
    with pytest.raises(DataError, match=r"colony \d: 0 of 18 are left, at least 1 are needed; most.*refused \(18\)"):
        run_here(path, tmp_path / "run")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"given": []}, "no tasks to begin with"),
        ({"spare": -1}, "spare must not be negative"),
        ({"sampled": {"num_samples": 2}}, r"sampled\.num_samples must be 1"),
        ({"cleaning": {"semantic": 0.9}}, r"cleaning\.semantic .* and embedding .* go together"),
        ({"embedding": {"model": "some/model"}}, r"cleaning\.semantic .* and embedding .* go together"),
        ({"cleaning": {"sample": 9}}, r"cleaning\.sample draws by tags, and no row has any"),
        ({"cleaning": {"keep": "reward"}}, r"cleaning\.keep: no row has a reward"),
        ({"cleaning": {"near": 80}}, r"cleaning\.near must lie above 0"),
        ({"evolution": {"num_tests": 1}}, "needs two consents"),
        ({"evolution": {"num_tests": 1}, "allow_code_execution": True}, "Missing: the environment variable"),
        ({"templates": {"genetic_mutations": "x"}}, "Did you mean genetic_mutation"),
    ],
)
def test_what_cannot_be_is_refused_at_once(change, message, tmp_path, monkeypatch):
    monkeypatch.delenv(CONSENT, raising=False)
    with pytest.raises(ConfigError, match=message):
        load_recipe(recipe(tmp_path / "own.yaml", **change))
