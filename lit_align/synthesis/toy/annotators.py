"""Imperfect people: demonstrations that neglect constraints, and ratings with errors."""

import random
from dataclasses import replace

from lit_align.synthesis.toy.task import Task
from lit_align.synthesis.toy.verifier import constraints_met, is_correct, is_loosely_correct, plain_letters

ATTRIBUTES = ("helpfulness", "correctness", "coherence", "complexity", "verbosity")
_HIGHEST = 4.0


def sloppy_demonstration(task: Task, rng: random.Random, *, drop: float = 0.5) -> str:
    """The answer of someone who forgets each constraint with probability `drop`.

    >>> sloppy_demonstration(Task("sort", "ba", ("bang",)), random.Random(0), drop=1.0)
    'a b'
    """
    return replace(task, constraints=tuple(name for name in task.constraints if rng.random() >= drop)).answer


def rate(task: Task, response: str, *, rng: random.Random | None = None, noise: float = 0.7) -> dict[str, float]:
    """HelpSteer's five attributes of a response, each from 0 to 4 (arXiv:2406.08673).

    Helpfulness is nearness to the answer, correctness nearness of the letters alone, coherence the share of the
    constraints met; complexity and verbosity describe the prompt and the response's length.

    Args:
        task: What was asked.
        response: What was answered.
        rng: Makes the ratings a person's: normal errors are added, then they are rounded. None gives exact values.
        noise: Standard deviation of those errors.

    >>> rate(Task("sort", "ba"), "a b")
    {'helpfulness': 4.0, 'correctness': 4.0, 'coherence': 4.0, 'complexity': 2.0, 'verbosity': 1.0}
    """
    near = _similarity(response.split(), task.answer.split())
    near_letters = _similarity(plain_letters(response), plain_letters(task.answer))
    met = constraints_met(task, response).values()
    exact = {
        # A near miss is worth far less than the answer: nobody is helped by four letters out of five.
        "helpfulness": _HIGHEST if is_correct(task, response) else 2.5 * near,
        "correctness": _HIGHEST if is_loosely_correct(task, response) else 2.5 * near_letters,
        "coherence": _HIGHEST * sum(met) / len(met) if met else _HIGHEST,
        "complexity": 3.0 if task.constraints else 2.0,
        "verbosity": min(_HIGHEST, len(response.split()) / 2),
    }
    if rng is None:
        return exact
    return {name: float(min(_HIGHEST, max(0.0, round(value + rng.gauss(0, noise))))) for name, value in exact.items()}


def _similarity(words: list[str], answer: list[str]) -> float:
    """1 for the answer, 0 where as many words must be edited as it has, or more."""
    return 1 - min(1.0, _edit_distance(words, answer) / len(answer))


def _edit_distance(a: list[str], b: list[str]) -> int:
    """Fewest insertions, deletions and substitutions of words that turn `a` into `b` (Levenshtein)."""
    above = list(range(len(b) + 1))
    for i, word in enumerate(a, start=1):
        row = [i]
        for j, other in enumerate(b, start=1):
            row.append(min(above[j] + 1, row[-1] + 1, above[j - 1] + (word != other)))
        above = row
    return above[-1]
