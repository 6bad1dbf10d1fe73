"""The toy task: prompts, answers, sampling, the verifier."""

import random
import subprocess
import sys

import pytest

from lit_align.synthesis.toy import (
    CONSTRAINTS,
    LETTERS,
    OPERATIONS,
    VOCABULARY,
    Task,
    constraints_met,
    is_correct,
    is_loosely_correct,
    random_task,
    sample_tasks,
    split_tasks,
)

TASKS = sample_tasks(3000, seed=0)

ANSWERS = {
    "copy d a h b a": "d a h b a",
    "reverse d a h b a": "a b h a d",
    "sort d a h b a": "a a b d h",
    "descend d a h b a": "h d b a a",
    "rotate d a h b a": "a h b a d",
    "swap d a h b c": "c a h b d",
    "next d a h b a": "e b a c b",
    "double d a h b a": "d d a a h h",
    "reverse a b c d capitals bang": "D C B A !",
    "next h g f e two": "a h",
    "double c d e f capitals two": "C C",
    "sort b a c d capitals bang two": "A B !",
}


@pytest.mark.parametrize(("prompt", "answer"), ANSWERS.items())
def test_answers_are_what_a_person_would_expect(prompt: str, answer: str) -> None:
    assert Task.parse(prompt).answer == answer


def test_every_task_is_read_back_from_its_prompt() -> None:
    assert [Task.parse(task.prompt) for task in TASKS] == TASKS


def test_every_answer_passes_its_own_verifier_and_meets_every_constraint() -> None:
    for task in TASKS:
        assert is_correct(task, task.answer)
        assert is_loosely_correct(task, task.answer)
        met = constraints_met(task, task.answer)
        assert tuple(met) == task.constraints
        assert all(met.values())


def test_every_word_is_in_the_vocabulary_and_the_vocabulary_has_no_other() -> None:
    words = {word for task in TASKS for word in f"{task.prompt} {task.answer}".split()}
    assert words == set(VOCABULARY)
    assert len(VOCABULARY) == len(words)


@pytest.mark.parametrize(
    "prompt",
    [
        "",
        "   ",
        "reverse",
        "reverse a",
        "reverse a z",
        "reverse a B c",
        "fold a b c",
        "a b c reverse",
        "reverse a b bang capitals",
        "reverse a b bang bang",
        "reverse a bang b",
        "reverse a b loudly",
        "reverse ab cd",
    ],
)
def test_a_text_that_is_no_task_is_refused(prompt: str) -> None:
    with pytest.raises(ValueError, match=r"must be|a prompt is"):
        Task.parse(prompt)


def test_tasks_are_distinct_and_the_same_for_a_seed() -> None:
    assert len(set(TASKS)) == len(TASKS)
    assert sample_tasks(50, seed=0) == TASKS[:50]
    assert sample_tasks(50, seed=1) != TASKS[:50]


def test_excluded_tasks_do_not_come_back() -> None:
    assert not set(sample_tasks(1000, seed=0, exclude=TASKS[:500])) & set(TASKS[:500])


def test_splits_have_their_sizes_and_share_no_task() -> None:
    sizes = {"train": 400, "test": 100, "none": 0, "preference": 300}
    splits = split_tasks(sizes, seed=3)
    assert {name: len(tasks) for name, tasks in splits.items()} == sizes
    assert len(set().union(*splits.values())) == sum(sizes.values())


def test_all_operations_constraints_and_lengths_occur() -> None:
    assert {task.op for task in TASKS} == set(OPERATIONS)
    assert {len(task.letters) for task in TASKS} == {4, 5}
    assert {len(task.constraints) for task in TASKS} == {0, 1, 2}
    for constraint in CONSTRAINTS:
        assert 0.25 < sum(constraint in task.constraints for task in TASKS) / len(TASKS) < 0.45


def test_more_tasks_than_there_are_is_an_error_not_a_hang() -> None:
    with pytest.raises(ValueError, match="at most 1032192 distinct tasks"):
        sample_tasks(2_000_000, seed=0)


def test_strict_wants_every_word_and_loose_the_letters_only() -> None:
    task = Task("reverse", "abcd", ("capitals", "bang"))
    for response in ("D C B A !", " D  C B A !\n"):
        assert is_correct(task, response)
    for response in ("d c b a", "D C B A", "! D C B A", "d C b A ! !"):
        assert is_loosely_correct(task, response)
        assert not is_correct(task, response)
    for response in ("", "!", "D C B", "D C B A A !", "DCBA!", "A B C D !"):
        assert not is_loosely_correct(task, response)


def test_constraints_are_checked_without_the_answer() -> None:
    task = Task("copy", "abcd", CONSTRAINTS)
    assert constraints_met(task, "G H !") == {"capitals": True, "bang": True, "two": True}
    assert constraints_met(task, "g H ! f") == {"capitals": False, "bang": False, "two": False}
    assert constraints_met(task, "") == {"capitals": False, "bang": False, "two": False}
    assert constraints_met(task, "!") == {"capitals": False, "bang": True, "two": False}
    assert constraints_met(Task("copy", "abcd"), "") == {}


def test_operations_keep_to_the_letters() -> None:
    rng = random.Random(0)
    for _ in range(500):
        task = random_task(rng)
        letters = OPERATIONS[task.op](task.letters)
        assert set(letters) <= set(LETTERS)
        if task.op not in ("next", "double"):
            assert sorted(letters) == sorted(task.letters)


def test_the_task_imports_neither_torch_nor_transformers() -> None:
    code = "import sys, lit_align.synthesis.toy; sys.exit(bool({'torch', 'transformers'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
