"""Checks of a response by program, with the answer and without it."""

from lit_align.synthesis.toy.task import Task


def is_correct(task: Task, response: str) -> bool:
    """Whether the response is the answer, word for word.

    >>> is_correct(Task("sort", "ba", ("bang",)), "a b")
    False
    """
    return response.split() == task.answer.split()


def is_loosely_correct(task: Task, response: str) -> bool:
    """Whether the letters are right, whatever their case and with or without the exclamation mark.

    >>> is_loosely_correct(Task("sort", "ba", ("bang",)), "a b")
    True
    """
    return plain_letters(response) == plain_letters(task.answer)


def constraints_met(task: Task, response: str) -> dict[str, bool]:
    """Whether the response obeys each of the task's constraints, without a look at the answer.

    Verifiable instructions after IFEval, arXiv:2311.07911. An empty response obeys none.

    >>> constraints_met(Task("sort", "ba", ("capitals", "bang")), "X Y Z")
    {'capitals': True, 'bang': False}
    """
    words = response.split()
    letters = [word for word in words if word != "!"]
    met = {
        "capitals": bool(letters) and all(letter.isupper() for letter in letters),
        "bang": words[-1:] == ["!"],
        "two": len(letters) == 2,
    }
    return {name: met[name] for name in task.constraints}


def plain_letters(response: str) -> list[str]:
    """The words of a response in lower case, without exclamation marks."""
    return [word for word in response.lower().split() if word != "!"]
