"""Topics and keywords (Nemotron-4, arXiv:2406.11704, section 3.2.1): what prompts are to be about."""

from lit_align.synthesis.steps import AskList, AskYesNo
from lit_align.synthesis.template import Templates

MACRO_TOPIC, TOPIC, KEYWORD = "macro_topic", "topic", "keyword"
LEVEL, LANGUAGE = "level", "language"
_LONGEST_TITLE = 120


def macro_topics(templates: Templates, *, num: int) -> AskList:
    """Broad topics of each `subject`."""
    return _titles(templates, "macro_topics", kind=MACRO_TOPIC, num=num)


def subtopics(templates: Templates, *, num: int) -> AskList:
    """Topics of each macro topic."""
    return _titles(templates, "subtopics", kind=TOPIC, num=num)


def math_topics(templates: Templates, *, num: int) -> AskList:
    """Broad topics of mathematics at each school `level`; no two share one, as problems name no level."""
    return _titles(templates, "math_topics", kind=MACRO_TOPIC, num=num)


def math_keywords(templates: Templates, *, num: int) -> AskList:
    """Keywords of each macro topic of mathematics."""
    return _titles(templates, "math_subtopics", kind=KEYWORD, num=num)


def coding_topics(templates: Templates, *, num: int) -> AskList:
    """Broad topics of programming in each `language`; two languages may share one."""
    return _titles(templates, "coding_topics", kind=MACRO_TOPIC, num=num, within=LANGUAGE)


def coding_keywords(templates: Templates, *, num: int) -> AskList:
    """Keywords of each macro topic of programming; two languages may share one."""
    return _titles(templates, "coding_subtopics", kind=KEYWORD, num=num, within=LANGUAGE)


def math_entities(templates: Templates) -> AskYesNo:
    """Keeps the entities, kind `keyword`, that belong to mathematics."""
    return AskYesNo(template=templates["classify_math"])


def coding_entities(templates: Templates) -> AskYesNo:
    """Keeps the entities, kind `keyword` with a `language` in `meta`, that belong to programming."""
    return AskYesNo(template=templates["classify_coding"])


def _titles(templates: Templates, name: str, *, kind: str, num: int, within: str | None = None) -> AskList:
    return AskList(
        kind=kind,
        num=num,
        template=templates[name],
        again=templates["list_again"],
        titles=True,
        max_characters=_LONGEST_TITLE,
        within=within,
    )
