"""The weak-to-strong loop on models and prompts of one's own: end to end on tiny ones, and its parts."""

import json
import random

import pytest
import yaml

from lit_align.cli.functions import run_function
from lit_align.commands.run import run
from lit_align.errors import ConfigError, DataError
from lit_align.files import write_jsonl
from lit_align.loop import GateError, Runner, external
from lit_align.loop.prompts import ReadRows, SplitPrompts
from lit_align.loop.recipe import load_recipe
from lit_align.loop.weak_to_strong import Division, WeakToStrong
from lit_align.synthesis.toy import build_tokenizer, rate, sample_tasks, web_noise

TITLES = [
    ("teacher", None),
    *((title, iteration) for iteration in (1, 2) for title in ("student", "DPO", "RPO round 1")),
]


def read(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.fixture(scope="module")
def given(tmp_path_factory):
    """A teacher and two bases that nobody trained, and every file that the loop takes."""
    import lit_align

    folder = tmp_path_factory.mktemp("given")
    rng = random.Random(0)
    tasks = sample_tasks(260, seed=0)
    tokenizer = str(build_tokenizer(folder / "tokenizer"))
    for number, name in enumerate(("teacher", "base", "stronger")):
        config = {
            "model_type": "llama",
            "vocab_size": 36,
            "hidden_size": 16,
            "intermediate_size": 32,
            "num_hidden_layers": 1,
            "num_attention_heads": 2,
            "max_position_embeddings": 64,
            "bos_token_id": 2,
            "eos_token_id": 3,
        }
        module = lit_align.SFT(lit_align.HFBackbone(config=config, tokenizer=tokenizer, seed=number))
        module.configure_model()
        lit_align.save_model(module, folder / name)
    write_jsonl(folder / "prompts.jsonl", ({"prompt": task.prompt} for task in tasks[:200]))
    pairs = ({"prompt": t.prompt, "chosen": t.answer, "rejected": web_noise(t, rng)} for t in tasks[190:230])
    write_jsonl(folder / "pairs.jsonl", (pair for pair in pairs if pair["chosen"] != pair["rejected"]))
    ratings = (
        {"prompt": task.prompt, "response": text, "ratings": rate(task, text, rng=rng)}
        for task in tasks[230:]
        for text in (task.answer, web_noise(task, rng))
        if text.strip()
    )
    write_jsonl(folder / "ratings.jsonl", ratings)
    write_jsonl(folder / "replay.jsonl", ({"prompt": t.prompt, "response": t.answer} for t in tasks[230:]))
    return folder


def settings(given, **more):
    """The arguments of a loop that is over soon."""
    once = {"lr": 1e-3, "batch_size": 16, "trainer": {"max_steps": 2}}
    return {
        "teacher": str(given / "teacher"),
        "bases": [str(given / "base"), str(given / "stronger")],
        "prompts": str(given / "prompts.jsonl"),
        "ratings": str(given / "ratings.jsonl"),
        "preferences": {"path": str(given / "pairs.jsonl"), "most": 20},
        "replay": str(given / "replay.jsonl"),
        "replay_fraction": 0.1,
        "rpo_rounds": 1,
        "division": {"evaluation": 0.2, "max_tokens": 40},
        "demonstrations": {"num_samples": 2, "max_new_tokens": 20},
        "samples": {"num_samples": 6, "max_new_tokens": 20},
        "min_accuracy": 0.0,
        **{name: once for name in ("sft", "reward", "dpo", "rpo")},
        **more,
    }


def recipe(path, **init_args):
    path.write_text(
        yaml.safe_dump({"class_path": "lit_align.loop.weak_to_strong.WeakToStrong", "init_args": init_args})
    )
    return str(path)


@pytest.fixture(scope="module")
def finished(given, tmp_path_factory):
    workdir = tmp_path_factory.mktemp("loop") / "run"
    path = recipe(workdir.parent / "loop.yaml", **settings(given))
    options = ["--workdir", str(workdir), "--tracking_uri", "none", "--parallel", "2", "--threads", "1"]
    assert run_function(run, [path, *options], prog="lit-align run") == 0
    return workdir


def manifests(workdir, stage):
    every = (json.loads(path.read_text()) for path in sorted(workdir.glob("store/*/manifest.json")))
    return [manifest for manifest in every if manifest["stage"].endswith(f".{stage}")]


def test_every_policy_is_measured_on_the_same_prompts(finished):
    results = json.loads((finished / "results.json").read_text())
    assert results["is_complete"]
    rows = {(row["title"], row["iteration"]): row["metrics"] for row in results["rows"]}
    assert list(rows) == TITLES
    assert len({metrics["reward"]["n"] for metrics in rows.values()}) == 1
    assert {key for key, metrics in rows.items() if "pairs" in metrics} == {
        key for key in TITLES if key[0] in ("DPO", "RPO round 1")
    }
    gates = [(gate["title"], gate["iteration"], gate["passed"]) for gate in results["gates"]]
    assert gates == [("reward model gate", None, True), ("champion", 1, True), ("champion", 2, True)]
    assert (finished / "report.html").stat().st_size > 10_000


def test_the_champion_generates_for_the_next_iteration_and_defends_its_title(finished):
    generated = [m for m in manifests(finished, "Generate") if m["title"] == "the generator's responses"]
    model = {m["iteration"]: next(e for e in m["inputs"] if e["field"] == "model") for m in generated}
    assert model[1]["title"] == "teacher"
    first, second = sorted(manifests(finished, "Champion"), key=lambda m: m["iteration"])
    assert model[2]["chosen"]["fingerprint"] == first["results"]["fingerprint"]
    assert len(first["results"]["comparisons"]) == 2
    assert len(second["results"]["comparisons"]) == 3


def test_no_prompt_is_used_twice(finished):
    (division,) = finished.glob("store/split-prompts-*")
    parts = {path.stem: {str(row["prompt"]) for row in read(path)} for path in division.glob("*.jsonl")}
    assert set(parts) == {"evaluation", *(f"{name}_{i}" for i in (1, 2) for name in ("sft", "dpo", "rpo_1"))}
    assert sum(map(len, parts.values())) == len(set.union(*parts.values()))
    # The pairs share ten prompts with the file of prompts.
    assert json.loads((division / "manifest.json").read_text())["results"]["dropped"]["held_out"] > 0


def test_supervised_stages_replay_and_every_round_refers_to_the_one_before(finished):
    fits = {(m["title"], m["iteration"]): m for m in manifests(finished, "Fit")}
    for iteration in (1, 2):
        student = fits["student", iteration]
        train = student["config"]["config"]["data"]["init_args"]["train"]
        assert train[1]["replay_fraction"] == 0.1
        before = [fits[title, iteration]["fingerprint"] for title in ("student", "DPO")]
        after = [
            next(entry["fingerprint"] for entry in fits[title, iteration]["inputs"] if "pretrained" in entry["field"])
            for title in ("DPO", "RPO round 1")
        ]
        assert before == after


def test_a_reward_model_that_people_do_not_agree_with_stops_the_loop(given, finished, tmp_path):
    # What is built is taken from the finished run: the gate is the first thing that differs.
    loaded = load_recipe(recipe(tmp_path / "loop.yaml", **settings(given, min_accuracy=1.01)))
    runner = Runner(finished, preload=(), parallel=2, threads=1)
    loaded.program.build(runner)
    with pytest.raises(GateError, match="cannot tell what people prefer"):
        runner.run()


def test_a_reward_model_may_be_given_and_evaluation_prompts_too(given, tmp_path, capsys):
    own = {"ratings": None, "preferences": None, "reward_model": str(given / "base")}
    more = {**own, "evaluation_prompts": {"path": str(given / "pairs.jsonl"), "most": 5}, "replay": None}
    path = recipe(tmp_path / "loop.yaml", **settings(given, **more))
    assert run_function(run, [path, "--workdir", str(tmp_path / "run"), "--dry_run"], prog="lit-align run") == 0
    plan = capsys.readouterr().out
    assert "prompts to measure on" in plan
    assert "reward model gate" not in plan
    assert " fit-" in plan


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"ratings": None}, "give either reward_model, or ratings"),
        ({"bases": []}, "at least one base"),
        ({"division": {"sft": 1.0}}, "shares must lie between 0 and 1"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_runs(change, message, given, tmp_path):
    with pytest.raises(ConfigError, match=message):
        load_recipe(recipe(tmp_path / "loop.yaml", **settings(given, **change)))


def split(source, output, context=None, **options):
    output.mkdir(exist_ok=True)
    results = SplitPrompts(source=external(source), **options).run(output, context)
    return results, {path.stem: [row["prompt"] for row in read(path)] for path in output.glob("*.jsonl")}


@pytest.fixture
def context():
    from lit_align.loop import StageContext

    return StageContext(
        title="division", iteration=None, fingerprint="f", seed=0, threads=1, progress=lambda done, total: None
    )


def test_a_division_does_not_move_prompts_when_others_are_added(tmp_path, context):
    texts = [f"What is {number}?" for number in range(300)]
    write_jsonl(tmp_path / "few.jsonl", ({"prompt": text} for text in texts[:200]))
    write_jsonl(tmp_path / "many.jsonl", ({"prompt": text} for text in texts))
    shares = {"evaluation": 0.2, "sft": 0.4, "dpo": 0.4}
    _, few = split(tmp_path / "few.jsonl", tmp_path / "a", context, parts=shares)
    results, many = split(tmp_path / "many.jsonl", tmp_path / "b", context, parts=shares)
    assert results["kept"] == results["read"] == 300
    assert results["parts"] == {name: len(rows) for name, rows in many.items()}
    for name, rows in few.items():
        assert {str(row) for row in rows} <= {str(row) for row in many[name]}
    # The first part stays where it is when the shares after it change, as long as its own does not.
    _, other = split(tmp_path / "few.jsonl", tmp_path / "c", context, parts={"evaluation": 0.2, "sft": 0.1, "dpo": 0.7})
    assert other["evaluation"] == few["evaluation"]
    _, seeded = split(tmp_path / "few.jsonl", tmp_path / "d", context, parts=shares, seed=1)
    assert seeded["evaluation"] != few["evaluation"]


def test_a_division_accounts_for_every_row(given, tmp_path, context):
    rows = [{"prompt": text} for text in ("Ask A", "ask  a", "B", "C", "D " * 60, "E", "")]
    write_jsonl(tmp_path / "prompts.jsonl", rows)
    write_jsonl(tmp_path / "held.jsonl", [{"prompt": "b", "chosen": "1", "rejected": "2"}])
    from lit_align.loop.parts import Part

    results, parts = split(
        tmp_path / "prompts.jsonl",
        tmp_path / "out",
        context,
        parts={"all": 1.0},
        most={"all": 2},
        excluded=(Part(artifact=external(tmp_path / "held.jsonl")),),
        tokenizer=external(given / "teacher"),
        max_tokens=40,
    )
    assert results["read"] == 7
    assert results["kept"] == len(parts["all"]) == 2
    expected = {"empty_prompt": 1, "duplicate": 1, "held_out": 1, "too_long": 1, "not_sampled": 1}
    assert results["dropped"] == expected
    with pytest.raises(DataError, match="second: no prompt is left"):
        split(tmp_path / "prompts.jsonl", tmp_path / "out", context, parts={"first": 1.0, "second": 1e-9})
    with pytest.raises(ConfigError, match="needs a positive share"):
        split(tmp_path / "prompts.jsonl", tmp_path / "out", context, parts={"first": 0.0})


def test_rows_are_read_in_native_columns_and_drawn_by_prompt(tmp_path, context):
    pairs = [
        {"chosen": f"\n\nHuman: {i}?\n\nAssistant: yes", "rejected": f"\n\nHuman: {i}?\n\nAssistant: no"}
        for i in range(9)
    ]
    write_jsonl(tmp_path / "pairs.jsonl", pairs)
    stage = ReadRows(source=external(tmp_path / "pairs.jsonl"), kind="preference", most=4)
    results = stage.run(tmp_path, context)
    assert (results["read"], results["kept"], results["dropped"]) == (9, 4, {"not_sampled": 5})
    rows = read(tmp_path / "rows.jsonl")
    assert len(rows) == 4
    assert set(rows[0]) == {"prompt", "chosen", "rejected"}


def test_the_parts_of_all_iterations_are_named_and_share_what_is_left():
    shares = Division(sft=0.25).parts(iterations=2, rounds=3)
    assert list(shares) == ["sft_1", "dpo_1", "rpo_1_1", "rpo_2_1", "sft_2", "dpo_2", "rpo_1_2", "rpo_2_2"]
    assert sum(shares.values()) == pytest.approx(2)
    assert shares["sft_1"] == shares["dpo_1"] == pytest.approx(0.25)


def test_the_program_is_found_by_its_class_path():
    assert load_recipe("weak_to_strong").program.__class__ is WeakToStrong
