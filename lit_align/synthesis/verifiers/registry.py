"""Verifiers by name, and the one that each row asks for."""

import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, final, get_args

from lit_align.errors import DataError
from lit_align.synthesis.verifiers.answers import Extraction, GSM8KVerifier, MathVerifier
from lit_align.synthesis.verifiers.base import Verdict, Verifier, column
from lit_align.synthesis.verifiers.code import CodeVerifier, Problem, Sandbox, human_eval, mbpp
from lit_align.synthesis.verifiers.ifeval import IFEvalVerifier, Strictness

VerifierName = Literal["ifeval", "gsm8k", "math", "humaneval", "mbpp"]
VERIFIERS: tuple[VerifierName, ...] = get_args(VerifierName)
CODE_VERIFIERS: Mapping[str, Callable[[Mapping[str, Any]], Problem]] = {"humaneval": human_eval, "mbpp": mbpp}
"""The verifiers that run what a model wrote, by name: how each reads a row."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What a verifier is made with; each takes what concerns it.

    Attributes:
        strictness: Of verifiable instructions.
        extraction: Of final answers.
        allow_code_execution: One of the two consents that code needs.
        sandbox: Where code runs; None is the safest, with the usual limits.
    """

    strictness: Strictness = "strict"
    extraction: Extraction = "flexible"
    allow_code_execution: bool = False
    sandbox: Sandbox | None = None


def build_verifier(name: VerifierName, settings: Settings) -> Verifier:
    """The verifier of a name.

    Raises:
        ConfigError: It cannot run here, or not without consent.
    """
    answers: dict[str, Callable[[], Verifier]] = {
        "ifeval": lambda: IFEvalVerifier(settings.strictness),
        "gsm8k": lambda: GSM8KVerifier(settings.extraction),
        "math": lambda: MathVerifier(settings.extraction),
    }
    if name in answers:
        return answers[name]()
    return CodeVerifier(
        CODE_VERIFIERS[name], allow_code_execution=settings.allow_code_execution, sandbox=settings.sandbox
    )


def check_row(name: VerifierName, row: Mapping[str, Any]) -> None:
    """Whether a row has what a verifier needs, found out without running any code.

    Raises:
        DataError: It does not, or has it wrongly.
    """
    if name in CODE_VERIFIERS:
        CODE_VERIFIERS[name](row)
    else:
        build_verifier(name, Settings()).verify(row, "")


def verifier_of(row: Mapping[str, Any]) -> VerifierName:
    r"""The verifier that a row's column `verifier` names, or that its other columns belong to.

    >>> verifier_of({"question": "2 + 2?", "answer": "That is four.\n#### 4"})
    'gsm8k'

    Raises:
        DataError: It names none, or an unknown one.
    """
    named = column(row, "verifier")
    if named is not None:
        if named not in VERIFIERS:
            raise DataError(f"`verifier` must be one of {', '.join(VERIFIERS)}, got {named!r}")
        return named
    if column(row, "instruction_id_list") is not None:
        return "ifeval"
    if column(row, "test_list") is not None:
        return "mbpp"
    if column(row, "entry_point") is not None and column(row, "test") is not None:
        return "humaneval"
    if "####" in str(column(row, "answer")):
        return "gsm8k"
    if "\\boxed" in f"{column(row, 'solution')} {column(row, 'answer')}":
        return "math"
    raise DataError(
        "no column tells which verifier the row is for\n"
        f"Name it in a column `verifier`, or with --verifier: {', '.join(VERIFIERS)}."
    )


@final
class RowVerifier(Verifier):
    """Verifies each row with the verifier that it asks for; each is made when a row first needs it."""

    def __init__(self, settings: Settings | None = None) -> None:
        self._settings = settings or Settings()
        self._made: dict[VerifierName, Verifier] = {}
        self._lock = threading.Lock()

    def prepare(self, rows: Iterable[tuple[str, Mapping[str, Any]]]) -> None:
        """Makes the verifiers that rows ask for, so that what is missing is said before any is verified.

        Args:
            rows: Each with its place, as `read_raw` gives them.

        Raises:
            DataError: A row does not tell its verifier.
            ConfigError: A verifier cannot run here, or not without consent.
        """
        for place, row in rows:
            try:
                self._verifier(row)
            except DataError as error:
                raise DataError(f"{place}: {error}") from error

    def verify(self, row: Mapping[str, Any], response: str) -> Verdict:
        return self._verifier(row).verify(row, response)

    def _verifier(self, row: Mapping[str, Any]) -> Verifier:
        name = verifier_of(row)
        with self._lock:
            if name not in self._made:
                self._made[name] = build_verifier(name, self._settings)
        return self._made[name]
