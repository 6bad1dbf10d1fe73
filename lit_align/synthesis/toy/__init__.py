"""A task small enough for a laptop and real enough for alignment: instructions on letters, checked by program.

A user writes an operation, letters, and constraints on the form of the answer: `reverse a b c d capitals bang`.
The one right response is `D C B A !`.

| operation | answer |
|---|---|
| copy, reverse | the letters as they are, from last to first |
| sort, descend | in alphabetical order, in reverse alphabetical order |
| rotate | the first letter moved to the end |
| swap | first and last letter exchanged |
| next | every letter replaced by its successor, h by a |
| double | the first three letters, each twice |

| constraint | the response must |
|---|---|
| capitals | be in capital letters |
| bang | end with an exclamation mark |
| two | stop after two letters |

Base models learn the operations from a noisy corpus (`pretraining_rows`). The chat format and the obedience to
constraints are what alignment has to bring out, from demonstrations and ratings of imperfect people
(`sloppy_demonstration`, `rate`). The verifier tells how far it got.
"""

from lit_align.synthesis.toy.annotators import ATTRIBUTES, rate, sloppy_demonstration
from lit_align.synthesis.toy.corpus import pretraining_rows, web_noise
from lit_align.synthesis.toy.task import (
    CONSTRAINTS,
    LETTERS,
    OPERATIONS,
    VOCABULARY,
    Task,
    random_task,
    sample_tasks,
    split_tasks,
)
from lit_align.synthesis.toy.tokenizer import build_tokenizer
from lit_align.synthesis.toy.verifier import constraints_met, is_correct, is_loosely_correct

__all__ = [
    "ATTRIBUTES",
    "CONSTRAINTS",
    "LETTERS",
    "OPERATIONS",
    "VOCABULARY",
    "Task",
    "build_tokenizer",
    "constraints_met",
    "is_correct",
    "is_loosely_correct",
    "pretraining_rows",
    "random_task",
    "rate",
    "sample_tasks",
    "sloppy_demonstration",
    "split_tasks",
    "web_noise",
]
