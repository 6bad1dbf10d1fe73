"""Prompts about topics, keywords and documents, generated and then revised (Nemotron-4, arXiv:2406.11704, 3.2.1)."""

from typing import Literal

from lit_align.synthesis.items import DOC_ID
from lit_align.synthesis.steps import AskList
from lit_align.synthesis.template import Template, Templates

QUESTION, TASK, PROBLEM = "question", "task", "problem"
DOCUMENT, MATERIAL = "document", "material"

MATERIALS = (
    "poem",
    "essay",
    "short story",
    "e-mail",
    "letter",
    "article for a newspaper",
    "blog post",
    "speech",
    "dialogue for the stage",
    "review",
    "product description",
    "diary entry",
    "set of instructions",
    "press release",
    "report",
    "song",
)
"""Types of text that writing tasks ask for."""

MathDifficulty = Literal["general", "beginner"]
CodingDifficulty = Literal["beginner", "intermediate", "advanced"]


def open_questions(templates: Templates, *, num: int) -> AskList:
    """Questions and requests about each `topic`."""
    return _sentences(templates, "open_questions", kind=QUESTION, num=num)


def revised_questions(templates: Templates, *, num: int) -> AskList:
    """Versions of each question that ask for more, in two to four sentences."""
    return _sentences(templates, "revise_question", kind=QUESTION, num=num)


def writing_tasks(templates: Templates, *, num: int) -> AskList:
    """Tasks for a writer about each `topic`, for the type of text that `meta` has as `material`."""
    return _sentences(templates, "writing_tasks", kind=TASK, num=num)


def revised_writing(templates: Templates, *, num: int) -> AskList:
    """Versions of each writing task with detailed demands."""
    return _sentences(templates, "revise_writing", kind=TASK, num=num)


def closed_questions(templates: Templates, *, num: int) -> AskList:
    """Requests about each `document`: to answer, summarise, rephrase or imitate; documents may share one."""
    return _sentences(templates, "closed_questions", kind=QUESTION, num=num, within=DOC_ID)


def revised_closed_questions(templates: Templates, *, num: int) -> AskList:
    """More precise versions of each request about a document."""
    return _sentences(templates, "revise_closed_question", kind=QUESTION, num=num, within=DOC_ID)


def closed_prompt(templates: Templates) -> Template:
    """Joins a document and a request in one of several ways."""
    return templates["closed_prompt"]


def math_problems(templates: Templates, *, num: int, difficulty: MathDifficulty) -> AskList:
    """Problems of mathematics that involve each `keyword`."""
    return _sentences(templates, f"math_problems_{difficulty}", kind=PROBLEM, num=num)


def revised_math(templates: Templates, *, num: int) -> AskList:
    """Versions of each problem of mathematics."""
    return _sentences(templates, "revise_math", kind=PROBLEM, num=num)


def coding_problems(templates: Templates, *, num: int, difficulty: CodingDifficulty) -> AskList:
    """Programming tasks that involve each `keyword`, in the `language` that `meta` has."""
    return _sentences(templates, f"coding_problems_{difficulty}", kind=PROBLEM, num=num)


def revised_coding(templates: Templates, *, num: int) -> AskList:
    """Versions of each programming task."""
    return _sentences(templates, "revise_coding", kind=PROBLEM, num=num)


def _sentences(templates: Templates, name: str, *, kind: str, num: int, within: str | None = None) -> AskList:
    again = templates["list_again"]
    return AskList(kind=kind, num=num, template=templates[name], again=again, within=within)
