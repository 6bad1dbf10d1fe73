"""Which two responses of a prompt become a preference."""

import json
import random

import pytest

from lit_align.cli.main import main
from lit_align.data.accounting import Accounting
from lit_align.data.sources import read_rows
from lit_align.errors import ConfigError
from lit_align.synthesis.preferences import Candidate, Candidates, PairRules, make_pairs, similarity


def prompt(*responses, name="p"):
    """Responses as (text, score) or (text, score, finish_reason)."""
    made = [
        Candidate(text=text, score=score, row={"finish_reason": reason[0]} if reason else {}, place="s.jsonl:1")
        for text, score, *reason in responses
    ]
    return Candidates(id=name, prompt="Hi", responses=made, place="s.jsonl:1")


def chosen_texts(rules, given):
    pair = rules.choose(given)
    return pair if isinstance(pair, str) else tuple(candidate.text for candidate in pair)


def test_the_highest_meets_the_lowest_score():
    assert chosen_texts(PairRules(), prompt(("a", 1.0), ("b", 3.0), ("c", -2.0))) == ("b", "c")


def test_a_pair_that_a_rule_excludes_gives_way_to_the_next():
    given = prompt(("one two three", 3.0), ("one two", 2.0), ("x " * 50, 0.0))
    assert chosen_texts(PairRules(max_length_ratio=3), given) == ("one two three", "one two")
    alike = prompt(("one two three four", 3.0), ("one two three five", 0.0), ("other words", 1.0))
    assert chosen_texts(PairRules(max_similarity=0.7), alike) == ("one two three four", "other words")


@pytest.mark.parametrize(
    ("rules", "responses", "reason"),
    [
        ({}, [("a", 1.0)], "too_few_responses"),
        ({}, [("a", 1.0), ("b", 1.0)], "tie"),
        ({}, [("a", 1.0, "length"), ("b", 2.0)], "no_finished_response"),
        ({"min_margin": 0.5}, [("a", 1.0), ("b", 1.5)], "small_margin"),
        ({"max_length_ratio": 2}, [("a", 1.0), ("bbb", 2.0)], "length_ratio"),
        ({"max_similarity": 0.9}, [("a b c", 1.0), ("A b  c", 2.0)], "too_similar"),
    ],
)
def test_a_prompt_without_a_pair_is_counted_under_its_reason(rules, responses, reason):
    counts = Accounting()
    assert list(make_pairs([prompt(*responses)], rules=PairRules(**rules), counts=counts)) == []
    assert counts.to_dict() == {"read": 1, "kept": 0, "dropped": {reason: 1}}


def test_what_was_cut_off_may_be_allowed():
    given = prompt(("a", 1.0, "length"), ("b", 2.0))
    assert chosen_texts(PairRules(finished_only=False), given) == ("b", "a")


@pytest.mark.parametrize("strategy", ["max_min", "max_random", "random"])
def test_the_choice_depends_on_texts_and_seed_and_not_on_order(strategy):
    responses = [(f"response {k}", float(k % 3)) for k in range(8)]
    rules, choices = PairRules(strategy=strategy), set()
    for order in range(6):
        random.Random(order).shuffle(responses)
        choices.add(chosen_texts(rules, prompt(*responses)))
    assert len(choices) == 1
    others = {chosen_texts(PairRules(strategy=strategy, seed=seed), prompt(*responses)) for seed in range(20)}
    assert len(others) > 3


def test_max_random_keeps_the_best_and_random_does_not():
    given = prompt(*((f"r{k}", float(k)) for k in range(6)))
    best = {chosen_texts(PairRules(strategy="max_random", seed=seed), given)[0] for seed in range(20)}
    assert best == {"r5"}
    assert len({chosen_texts(PairRules(strategy="random", seed=seed), given)[0] for seed in range(20)}) > 2
    for seed in range(20):
        pair = PairRules(strategy="random", seed=seed).choose(given)
        assert pair[0].score > pair[1].score


def test_similarity_is_rouge_l_of_the_words():
    assert similarity("a b c d", "a x c d e") == pytest.approx(2 * 3 / 9)
    assert similarity("", "") == 1.0
    assert similarity("a", "b") == 0.0


@pytest.mark.parametrize("wrong", [{"min_margin": -1}, {"max_length_ratio": 0.5}, {"max_similarity": 0}])
def test_rules_that_no_pair_can_satisfy_are_refused(wrong):
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        PairRules(**wrong)


def write(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return str(path)


def test_a_committee_shares_prompts_and_everything_known_of_a_response_is_kept(tmp_path, capsys):
    origin = {"source": {"dataset": "greetings", "licence": "CC-BY-4.0"}, "parents": ["p"], "meta": {"topic": "tea"}}
    weak = [
        {
            "id": "1",
            "prompt": "Hi",
            "response": "no",
            "verdict": {"passed": False},
            "generator": {"model": "weak"},
            **origin,
        },
        {"id": "1", "prompt": "Hi", "response": "", "verdict": {"passed": True}, "generator": {"model": "weak"}},
    ]
    strong = [
        {"id": "9", "prompt": " hi", "response": "yes", "verdict": {"passed": True}, "generator": {"model": "strong"}},
        {"id": "8", "prompt": "Why?", "response": "so", "verdict": {"passed": True}, "generator": {"model": "strong"}},
    ]
    one, other = write(tmp_path / "weak.jsonl", weak), write(tmp_path / "strong.jsonl", strong)
    output, candidates = tmp_path / "pairs.jsonl", tmp_path / "candidates.jsonl"
    options = ["--others", other, "--by", "verdict.passed", "--output", str(output), "--candidates", str(candidates)]
    assert main(["data", "pairs", one, *options, "--json"]) == 0
    said = capsys.readouterr().out
    assert '{"read": 2, "kept": 1, "dropped": {"too_few_responses": 1}}' in said
    (row,) = map(json.loads, output.read_text().splitlines())
    assert (row["chosen"], row["rejected"]) == ("yes", "no")
    assert (row["chosen_reward"], row["rejected_reward"]) == (1.0, 0.0)
    assert (row["chosen_generator"], row["rejected_generator"]) == ({"model": "strong"}, {"model": "weak"})
    assert {name: row[name] for name in origin} == origin
    (pair,), _ = read_rows(output, "preference")
    assert (pair.chosen_reward, pair.rejected_reward) == (1.0, 0.0)
    kept = [json.loads(line) for line in candidates.read_text().splitlines()]
    assert kept[0]["responses"] == ["no", "yes"]
    assert {name: kept[0][name] for name in origin} == origin
    assert [candidate["generator"]["model"] for candidate in kept[0]["candidates"]] == ["weak", "strong"]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--by", "helpfulness"], "samples.jsonl:1: `helpfulness` is missing"),
        (["--by", "verdict.passed"], "samples.jsonl:1: `verdict.passed` is missing"),
        (["--max_similarity", "2"], "max_similarity must be above 0 and at most 1"),
    ],
)
def test_what_cannot_decide_is_refused(options, said, tmp_path, capsys):
    path = write(tmp_path / "samples.jsonl", [{"prompt": "a", "response": "b", "reward": 1, "verdict": True}])
    assert main(["data", "pairs", path, "--output", str(tmp_path / "out.jsonl"), *options]) in (2, 3)
    assert said in capsys.readouterr().err
    assert not (tmp_path / "out.jsonl").exists()
