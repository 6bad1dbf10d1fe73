"""The toy task's imperfect sources: the web, sloppy demonstrators, raters."""

import random
from dataclasses import replace

import numpy as np
import pytest

from lit_align.losses import HELPSTEER_ATTRIBUTES
from lit_align.synthesis.toy import (
    ATTRIBUTES,
    LETTERS,
    VOCABULARY,
    Task,
    is_correct,
    pretraining_rows,
    rate,
    sample_tasks,
    sloppy_demonstration,
    web_noise,
)

TASKS = sample_tasks(1000, seed=1)


def parsed(row: dict[str, str]) -> Task:
    words = row["prompt"].split()
    assert (words[0], words[-1]) == ("<doc>", "=")
    return Task.parse(" ".join(words[1:-1]))


def test_web_noise_is_almost_always_wrong_and_stays_in_the_vocabulary() -> None:
    rng = random.Random(0)
    responses = [web_noise(task, rng) for task in TASKS]
    wrong = [not is_correct(task, response) for task, response in zip(TASKS, responses, strict=True)]
    assert 0.95 < np.mean(wrong) < 1
    assert {word for response in responses for word in response.split()} <= set(VOCABULARY)


def test_web_noise_forgets_mistakes_and_slips() -> None:
    task = Task("reverse", "bdac", ("capitals", "bang"))
    rng = random.Random(0)
    seen = {web_noise(task, rng) for _ in range(1000)}
    assert {"c a d b !", "C A D B"} <= seen  # a constraint forgotten
    assert {"A B C D !", "D A C B !"} <= seen  # another operation
    assert {"C A D E !", "H A D B !"} <= seen  # a slip that keeps the case
    assert task.answer not in seen


def test_the_share_of_noise_in_the_corpus_is_what_was_asked_for() -> None:
    for noise in (0.0, 0.3, 1.0):
        rows = list(pretraining_rows(1000, seed=0, noise=noise))
        wrong = np.mean([not is_correct(parsed(row), row["response"]) for row in rows])
        assert wrong == pytest.approx(0.98 * noise, abs=0.04)


def test_the_corpus_keeps_excluded_tasks_out_and_is_the_same_for_a_seed() -> None:
    rows = list(pretraining_rows(300, seed=0, noise=0.0))
    held_out = [parsed(row) for row in rows[:50]]
    others = [parsed(row) for row in pretraining_rows(300, seed=0, exclude=held_out, noise=0.0)]
    assert not set(others) & set(held_out)
    assert rows == list(pretraining_rows(300, seed=0, noise=0.0))


def test_a_sloppy_demonstrator_gets_the_letters_right_and_forgets_half_of_the_constraints() -> None:
    rng = random.Random(0)
    one = [task for task in TASKS if len(task.constraints) == 1]
    responses = [sloppy_demonstration(task, rng) for task in one]
    correct = [is_correct(task, response) for task, response in zip(one, responses, strict=True)]
    assert 0.4 < np.mean(correct) < 0.6
    for task, response in zip(one, responses, strict=True):
        assert response in (task.answer, replace(task, constraints=()).answer)


def test_a_careful_demonstrator_forgets_nothing() -> None:
    rng = random.Random(0)
    assert all(sloppy_demonstration(task, rng, drop=0.0) == task.answer for task in TASKS)


def test_the_attributes_are_helpsteers() -> None:
    assert ATTRIBUTES == HELPSTEER_ATTRIBUTES
    assert tuple(rate(TASKS[0], "a")) == ATTRIBUTES


def test_exact_ratings_tell_the_answer_from_a_near_miss_and_a_miss() -> None:
    task = Task("reverse", "abcd", ("capitals", "bang"))
    answer, unmarked, near, nothing = (rate(task, text) for text in ("D C B A !", "d c b a", "D C B H !", ""))
    assert answer["helpfulness"] == answer["correctness"] == answer["coherence"] == 4
    assert unmarked["correctness"] == 4
    assert unmarked["coherence"] == 0
    assert near["correctness"] == 2.5 * 3 / 4
    assert near["helpfulness"] == 2.5 * 4 / 5
    assert answer["helpfulness"] > near["helpfulness"] > unmarked["helpfulness"] == nothing["helpfulness"] == 0
    assert nothing["verbosity"] == 0


def test_a_persons_ratings_are_whole_numbers_from_0_to_4_around_the_exact_ones() -> None:
    rng = random.Random(0)
    task, response = Task("sort", "dcba", ("bang",)), "a b c"
    ratings = [rate(task, response, rng=rng) for _ in range(2000)]
    assert {value for rating in ratings for value in rating.values()} <= {0.0, 1.0, 2.0, 3.0, 4.0}
    exact = rate(task, response)
    assert 0 < exact["helpfulness"] < 4
    assert np.mean([rating["complexity"] for rating in ratings]) == pytest.approx(exact["complexity"], abs=0.1)


def test_noisy_ratings_follow_correctness() -> None:
    rng = random.Random(0)
    responses = [task.answer if i % 2 else web_noise(task, rng) for i, task in enumerate(TASKS)]
    correct = [is_correct(task, response) for task, response in zip(TASKS, responses, strict=True)]
    ratings = [rate(task, response, rng=rng) for task, response in zip(TASKS, responses, strict=True)]
    for attribute in ("helpfulness", "correctness"):
        correlation = np.corrcoef([rating[attribute] for rating in ratings], correct)[0, 1]
        assert correlation > 0.5


def test_overlong_responses_stay_in_range() -> None:
    values = rate(Task("copy", "abcd"), " ".join(LETTERS * 9)).values()
    assert all(0 <= value <= 4 for value in values)
