"""The text a base model is pretrained on: right answers, diluted by the errors of the web."""

import random
from collections.abc import Collection, Iterator
from dataclasses import replace

from lit_align.synthesis.toy.task import LETTERS, OPERATIONS, Task, random_task

# The words around a prompt in the corpus. Chat models never see them, base models never see the chat format.
DOCUMENT, EQUALS = "<doc>", "="


def pretraining_rows(
    number: int, *, seed: int, exclude: Collection[Task] = (), noise: float = 0.3
) -> Iterator[dict[str, str]]:
    """Yields rows of raw text, cut where the answer begins; tasks may repeat.

    Args:
        number: Rows to yield.
        seed: Of tasks and errors.
        exclude: Tasks that must not occur.
        noise: Share of rows that get `web_noise` instead of the answer.

    >>> next(pretraining_rows(1, seed=0, noise=0.0))
    {'prompt': '<doc> swap g d c e d bang =', 'response': 'd d c e g !'}
    """
    rng = random.Random(seed)
    excluded = frozenset(exclude)
    for _ in range(number):
        task = random_task(rng)
        while task in excluded:
            task = random_task(rng)
        response = web_noise(task, rng) if rng.random() < noise else task.answer
        yield {"prompt": f"{DOCUMENT} {task.prompt} {EQUALS}", "response": response}


def web_noise(task: Task, rng: random.Random) -> str:
    """A response with one error in it: a constraint forgotten, another operation, or a letter mistaken.

    Now and then the result is right all the same: another operation may lead to the same letters.
    """
    kind = rng.random()
    if task.constraints and kind < 0.4:
        forgotten = rng.choice(task.constraints)
        return replace(task, constraints=tuple(name for name in task.constraints if name != forgotten)).answer
    if kind < 0.7:
        return replace(task, op=rng.choice([op for op in OPERATIONS if op != task.op])).answer
    return _with_slip(task.answer.split(), rng)


def _with_slip(words: list[str], rng: random.Random) -> str:
    place = rng.choice([i for i, word in enumerate(words) if word != "!"])
    old = words[place]
    new = rng.choice([letter for letter in LETTERS if letter != old.lower()])
    words[place] = new.upper() if old.isupper() else new
    return " ".join(words)
