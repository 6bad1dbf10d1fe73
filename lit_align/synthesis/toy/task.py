"""The task itself: what a prompt asks for and the one right answer to it."""

import random
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from math import comb

LETTERS = "abcdefgh"

OPERATIONS: Mapping[str, Callable[[str], str]] = {
    "copy": lambda letters: letters,
    "reverse": lambda letters: letters[::-1],
    "sort": lambda letters: "".join(sorted(letters)),
    "descend": lambda letters: "".join(sorted(letters, reverse=True)),
    "rotate": lambda letters: letters[1:] + letters[0],
    "swap": lambda letters: letters[-1] + letters[1:-1] + letters[0],
    "next": lambda letters: letters.translate(str.maketrans(LETTERS, LETTERS[1:] + LETTERS[0])),
    "double": lambda letters: "".join(letter * 2 for letter in letters[:3]),
}

CONSTRAINTS = ("capitals", "bang", "two")

# Every word of prompts and answers.
VOCABULARY: tuple[str, ...] = (*OPERATIONS, *CONSTRAINTS, *LETTERS, *LETTERS.upper(), "!")

_LENGTHS = (4, 5)  # letters of a sampled task
_NUM_CONSTRAINTS = (0, 1, 1, 2)  # each as likely as it occurs here
_NUM_TASKS = (
    len(OPERATIONS)
    * sum(len(LETTERS) ** length for length in _LENGTHS)
    * sum(comb(len(CONSTRAINTS), number) for number in set(_NUM_CONSTRAINTS))
)


@dataclass(frozen=True, slots=True)
class Task:
    """An operation on letters, under constraints on the form of the answer.

    Attributes:
        op: A key of `OPERATIONS`.
        letters: At least two of `LETTERS`.
        constraints: Some of `CONSTRAINTS`, in their order.

    >>> Task("reverse", "abcd", ("capitals", "bang")).answer
    'D C B A !'
    """

    op: str
    letters: str
    constraints: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.op not in OPERATIONS:
            raise ValueError(f"op must be one of {', '.join(OPERATIONS)}, got {self.op!r}")
        if len(self.letters) < 2 or not set(self.letters) <= set(LETTERS):
            raise ValueError(f"letters must be at least two of {LETTERS}, got {self.letters!r}")
        if self.constraints != _in_order(self.constraints):
            raise ValueError(f"constraints must be some of {', '.join(CONSTRAINTS)}, in order, got {self.constraints}")

    @classmethod
    def parse(cls, prompt: str) -> "Task":
        """The task that has this prompt. Raises `ValueError` for a text that is none.

        >>> Task.parse("reverse a b c d capitals bang")
        Task(op='reverse', letters='abcd', constraints=('capitals', 'bang'))
        """
        op, *words = prompt.split() or [""]
        letters = [word for word in words if word in set(LETTERS)]
        constraints = words[len(letters) :]
        if words != [*letters, *constraints] or not set(constraints) <= set(CONSTRAINTS):
            raise ValueError(f"a prompt is an operation, letters, then constraints; got {prompt!r}")
        return cls(op, "".join(letters), tuple(constraints))

    @property
    def prompt(self) -> str:
        """What the user writes."""
        return " ".join((self.op, *self.letters, *self.constraints))

    @property
    def answer(self) -> str:
        """The one right response."""
        letters = OPERATIONS[self.op](self.letters)
        if "two" in self.constraints:
            letters = letters[:2]
        if "capitals" in self.constraints:
            letters = letters.upper()
        return " ".join([*letters, "!"] if "bang" in self.constraints else letters)


def random_task(rng: random.Random) -> Task:
    """A task of four or five letters and up to two constraints."""
    letters = "".join(rng.choices(LETTERS, k=rng.choice(_LENGTHS)))
    constraints = rng.sample(CONSTRAINTS, rng.choice(_NUM_CONSTRAINTS))
    return Task(rng.choice(list(OPERATIONS)), letters, _in_order(constraints))


def sample_tasks(number: int, *, seed: int, exclude: Collection[Task] = ()) -> list[Task]:
    """Draws `number` distinct tasks, none of them in `exclude`."""
    taken = set(exclude)
    if number + len(taken) > _NUM_TASKS // 2:
        raise ValueError(f"at most {_NUM_TASKS // 2} distinct tasks can be drawn, got {number + len(taken)}")
    rng = random.Random(seed)
    tasks: list[Task] = []
    while len(tasks) < number:
        task = random_task(rng)
        if task not in taken:
            taken.add(task)
            tasks.append(task)
    return tasks


def split_tasks(sizes: Mapping[str, int], *, seed: int) -> dict[str, list[Task]]:
    """Draws sets of distinct tasks that share none, by name.

    >>> {name: len(tasks) for name, tasks in split_tasks({"train": 3, "test": 2}, seed=0).items()}
    {'train': 3, 'test': 2}
    """
    tasks = iter(sample_tasks(sum(sizes.values()), seed=seed))
    return {name: [next(tasks) for _ in range(size)] for name, size in sizes.items()}


def _in_order(constraints: Collection[str]) -> tuple[str, ...]:
    return tuple(name for name in CONSTRAINTS if name in constraints)
