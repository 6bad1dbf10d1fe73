"""Prompts with known answers and tests: sampled from a committee, judged by program, paired by truth."""

import json
import re
from itertools import chain

import pytest
from synthetic_runs import SCRIPTED, conversations, read, recipe, run_here

from lit_align.errors import ConfigError, DataError
from lit_align.files import write_jsonl
from lit_align.loop.recipe import load_recipe
from lit_align.synthesis.verifiers.code import CONSENT, Sandbox

COMMITTEE = [{**SCRIPTED, "init_args": {"longest": 50000}}]
SAMPLED = {"num_samples": 4, "temperature": 1.0}
OPEN = {"dialogues": 0.5, "answers": 0, "preference": 0.5, "turns": 1}
_ANSWER = re.compile(r"The answer is \$(\d+)\$")


def sums(first, number):
    return [(f"Tom asks: What is {n} plus {n + 1}?", 2 * n + 1) for n in range(first, first + number)]


def sources(folder):
    """Ten prompts as GSM8K has them, six as MATH; one of the former is an evaluation's, one also a real user's."""
    gsm8k = [{"question": text, "answer": f"It is so.\n#### {total}"} for text, total in sums(0, 10)]
    math = [
        {"problem": text, "level": "Level 1", "type": "Algebra", "solution": f"So $\\boxed{{{total}}}$."}
        for text, total in sums(100, 6)
    ]
    write_jsonl(folder / "gsm8k.jsonl", gsm8k)
    write_jsonl(folder / "math.jsonl", math)
    write_jsonl(folder / "evaluation.jsonl", [{"prompt": gsm8k[0]["question"]}])
    real = conversations(folder / "real.jsonl", 20)
    shared = {
        "conversation": [{"role": "user", "content": gsm8k[1]["question"]}],
        "openai_moderation": [{"flagged": False}],
    }
    write_jsonl(folder / "real.jsonl", [*read(folder / "real.jsonl"), shared])
    return {
        "generator": SCRIPTED,
        "real_prompts": real,
        "verified_prompts": [
            {"path": str(folder / f"{name}.jsonl"), "dataset": name.upper(), "licence": "MIT", "verifier": name}
            for name in ("gsm8k", "math")
        ],
        "excluded": [str(folder / "evaluation.jsonl")],
        "uses": OPEN,
    }


@pytest.fixture(scope="module", params=[None, {"over": "prompt", "near": None}], ids=["as they are", "cleaned"])
def made(request, tmp_path_factory):
    """What the program made of them, by judge where there is no answer; once with cleaning of the prompts."""
    folder = tmp_path_factory.mktemp("verified")
    settings = {
        **sources(folder),
        # A margin in the units of a reward model says nothing about right and wrong.
        "preferences": {"by": "judge", "sampled": SAMPLED, "committee": COMMITTEE, "min_margin": 3.0},
    }
    settings |= {} if request.param is None else {"cleaning": request.param}
    return (*run_here(recipe(folder / "own.yaml", **settings), folder / "run"), folder / "run")


def test_verified_prompts_are_for_preferences_alone_and_keep_their_answers(made):
    results, rows, _ = made
    held = {
        row["prompt"][0]["content"]: row for row in rows["verified preferences: prompts"] if "verifier" in row["meta"]
    }
    assert set(held) == {text for text, _ in sums(1, 9) + sums(100, 6)}
    assert results["GSM8K: prompts"]["kept"] == 10
    one = held[sums(1, 1)[0][0]]
    assert one["source"] == {"dataset": "GSM8K", "licence": "MIT"}
    assert one["meta"] == {"task": "GSM8K", "verifier": "gsm8k", "answer": "It is so.\n#### 3"}
    assert held[sums(100, 1)[0][0]]["meta"]["solution"] == "So $\\boxed{201}$."
    # The prompt that a real user also wrote is the verified one, and nobody learns an answer to it.
    learned = {row["prompt"][0]["content"] for row in rows["dialogues: safe prompts"]}
    others = {row["prompt"][0]["content"] for row in rows["preferences: prompts"]}
    assert not (learned | others) & set(held)
    assert all("Tom asks" not in text for text in learned | others)


def test_pairs_are_a_right_and_a_wrong_response_of_any_model(made):
    results, rows, folder = made
    expected = dict(sums(1, 9) + sums(100, 6))
    said = {text: {} for text in expected}
    for row in chain(*(rows[f"verified preferences: responses {n}"] for n in (1, 2))):
        text = row["prompt"] if isinstance(row["prompt"], str) else row["prompt"][0]["content"]
        said[text][row["response"]] = int(_ANSWER.search(row["response"])[1]) == expected[text]
    decided = {text for text, responses in said.items() if len(set(responses.values())) == 2}
    assert 8 < len(decided) <= 15
    pairs = rows["verified preferences"]
    assert {pair["prompt"][0]["content"] for pair in pairs} == decided
    assert results["verified preferences"]["dropped"].get("tie", 0) == 15 - len(decided)
    for pair in pairs:
        responses = said[pair["prompt"][0]["content"]]
        assert (responses[pair["chosen"]], responses[pair["rejected"]]) == (True, False)
        assert (pair["chosen_reward"], pair["rejected_reward"]) == (1.0, 0.0)
    candidates = [row for path in folder.glob("store/pair-*/candidates.jsonl") for row in read(path)]
    assert {row["prompt"][0]["content"]: set(row["responses"]) for row in candidates} == {
        text: set(responses) for text, responses in said.items()
    }
    assert sum(map(len, said.values())) == sum(len(row["candidates"]) for row in candidates)


def test_verdicts_are_counted_by_verifier(made):
    results, rows, _ = made
    for number in (1, 2):
        found = results[f"verified preferences: verdicts {number}"]
        assert found["responses"] == 15 * 4
        assert {name: counts["responses"] for name, counts in found["by"].items()} == {"gsm8k": 9 * 4, "math": 6 * 4}
        passed = [row["verdict"]["passed"] for row in rows[f"verified preferences: verdicts {number}"]]
        assert found["passed"] == sum(passed) == sum(counts["passed"] for counts in found["by"].values())
        assert found["reasons"] == {"passed": sum(passed), "wrong_answer": 60 - sum(passed)}


def test_what_a_judge_read_is_kept_too(made):
    _, rows, folder = made
    (path,) = folder.glob("store/ask-judge-*/candidates.jsonl")
    candidates = read(path)
    assert len(candidates) == len(rows["preferences: prompts"])
    samples = {row["response"] for n in (1, 2) for row in rows[f"preferences: responses {n}"]}
    assert {text for row in candidates for text in row["responses"]} == samples


def test_verified_prompts_alone_make_pairs_in_a_run_that_shows_them(tmp_path, make_runner):
    settings = {name: value for name, value in sources(tmp_path).items() if name not in ("real_prompts", "uses")}
    settings["preferences"] = {"sampled": SAMPLED, "by": "judge"}
    program = load_recipe(recipe(tmp_path / "own.yaml", **settings)).program
    program.build(runner := make_runner())
    assert runner.run(finish=lambda: program.finish(runner)) == 0
    data = runner.workdir / "data"
    assert sorted(path.name for path in data.iterdir()) == [
        "preference_prompts.jsonl",
        "preferences_verified.jsonl",
        "preferences_verified_candidates.jsonl",
    ]
    assert len(read(data / "preferences_verified_candidates.jsonl")) == 15
    tables = {table["title"]: table for table in json.loads((runner.workdir / "results.json").read_text())["tables"]}
    tasks = {row["task"]: row["prompts"]["value"] for row in tables["Tasks"]["rows"]}
    assert tasks == {"GSM8K": 10, "MATH": 6}
    verdicts = {row["verifier"]: row["responses"]["value"] for row in tables["Verdicts"]["rows"]}
    assert verdicts == {"gsm8k": 36, "math": 24}
    assert tables["Preferences"]["rows"][0]["pairs"]["value"] == len(read(data / "preferences_verified.jsonl"))


def test_without_preferences_the_prompts_can_be_sampled_and_verified_by_hand(tmp_path):
    results, rows = run_here(recipe(tmp_path / "own.yaml", **sources(tmp_path)), tmp_path / "run")
    prompts = rows["prompts for preferences"]
    assert sum("verifier" in row["meta"] for row in prompts) == 15
    assert not any(title.startswith("verified") for title in results)


def code_settings(folder, **preferences):
    rows = [
        {
            "text": f"Write a function add_{n} that adds {n}.",
            "code": f"def add_{n}(x):\n  return x + {n}",
            "test_list": [f"assert add_{n}(0) == {n}", f"assert add_{n}({-n}) == 0"],
        }
        for n in (1, 2, 3)
    ]
    write_jsonl(folder / "mbpp.jsonl", rows)
    source = {"path": str(folder / "mbpp.jsonl"), "dataset": "MBPP", "licence": "CC-BY-4.0", "verifier": "mbpp"}
    return {
        "generator": SCRIPTED,
        "verified_prompts": [source],
        "preferences": {"by": "judge", "sampled": SAMPLED, **preferences},
    }


def test_code_needs_two_consents_before_anything_runs(tmp_path, make_runner, monkeypatch):
    monkeypatch.delenv(CONSENT, raising=False)
    path = recipe(tmp_path / "own.yaml", **code_settings(tmp_path, allow_code_execution=True))
    with pytest.raises(ConfigError, match=f"Missing: the environment variable {CONSENT}=1"):
        load_recipe(path).program.build(make_runner())
    monkeypatch.setenv(CONSENT, "1")
    path = recipe(tmp_path / "own.yaml", **code_settings(tmp_path))
    with pytest.raises(ConfigError, match="Missing: the option allow_code_execution"):
        load_recipe(path).program.build(make_runner())


def test_code_is_paired_by_its_tests(tmp_path, monkeypatch):
    try:
        Sandbox().check()
    except ConfigError as error:
        pytest.skip(str(error).partition("\n")[0])
    monkeypatch.setenv(CONSENT, "1")
    path = recipe(tmp_path / "own.yaml", **code_settings(tmp_path, allow_code_execution=True))
    _, rows = run_here(path, tmp_path / "run")
    (first, *_) = rows["prompts for preferences"]
    assert "It has to pass these tests:\n```python\nassert add_" in first["prompt"][0]["content"]
    said = rows["verified preferences: verdicts 1"]
    assert all(row["verdict"]["passed"] == (" + " in row["response"]) for row in said)
    assert {row["verdict"]["reason"] for row in said} == {"passed", "failed"}
    pairs = rows["verified preferences"]
    assert pairs
    assert all(" + " in pair["chosen"] and " + " not in pair["rejected"] for pair in pairs)


@pytest.mark.parametrize(
    ("verifier", "row", "message"),
    [
        ("gsm8k", {"question": "Why?", "answer": "So."}, "GIVEN:row 2: `answer`: gsm8k needs a number"),
        ("math", {"problem": "Why?", "solution": "So."}, "GIVEN:row 2: `solution`: math needs a"),
        ("mbpp", {"text": "Why?", "test_list": []}, "GIVEN:row 2: `test_list`: mbpp needs it"),
        ("humaneval", {"prompt": "def f():", "entry_point": "f"}, "GIVEN:row 2: `test`: humaneval needs it"),
        ("ifeval", {"prompt": "Why?"}, "GIVEN:row 2: .*instruction_id_list"),
        ("gsm8k", {"answer": "#### 3"}, "GIVEN:row 2: a row of kind prompt needs"),
    ],
)
def test_a_row_that_cannot_be_verified_stops_the_run_before_anything_is_sampled(tmp_path, verifier, row, message):
    from lit_align.data.accounting import Accounting
    from lit_align.synthesis.prompts.verifiable import VerifiablePrompts

    good = {"question": "a", "problem": "a", "text": "a", "answer": "#### 1", "solution": "\\boxed{1}"}
    code = {"test_list": ["assert f()"], "test": "def check(f): ...", "entry_point": "f"}
    instruction = {"instruction_id_list": ["punctuation:no_comma"], "kwargs": [{}]}
    read_prompts = VerifiablePrompts(dataset="GIVEN", licence="MIT", verifier=verifier)
    with pytest.raises(DataError, match=message):
        list(read_prompts.apply([{**good, **code, **instruction}, row], counts=Accounting()))


@pytest.mark.parametrize(
    ("name", "verifier", "column"), [("gsm8k/train", "gsm8k", "question"), ("mbpp/mbpp", "mbpp", "text")]
)
def test_known_data_sets_are_read_as_they_are(shared_data, name, verifier, column):
    from itertools import islice

    from lit_align.data.accounting import Accounting
    from lit_align.data.sources import read_raw
    from lit_align.synthesis.prompts.verifiable import VerifiablePrompts

    rows = [row for _, row in islice(read_raw(shared_data / f"{name}.jsonl.gz"), 200)]
    counts = Accounting()
    items = list(VerifiablePrompts(dataset="d", licence="MIT", verifier=verifier).apply(rows, counts=counts))
    assert counts.to_dict() == {"read": 200, "kept": 200, "dropped": {}}
    assert all(item["prompt"][0]["content"] == row[column] for item, row in zip(items, rows, strict=True))
