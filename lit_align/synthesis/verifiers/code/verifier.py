"""The verifiers of code: tests run in a sandbox, after two consents."""

import os
from collections.abc import Callable, Mapping
from typing import Any

from lit_align.errors import ConfigError
from lit_align.synthesis.verifiers.base import Verdict, Verifier, verdict
from lit_align.synthesis.verifiers.code.problems import Problem
from lit_align.synthesis.verifiers.code.sandbox import Sandbox

CONSENT = "LIT_ALIGN_ALLOW_CODE_EXECUTION"


class CodeVerifier(Verifier):
    """Whether the code in a response passes the tests of its row. The score is the share of tests passed.

    Args:
        read: Makes a problem of a row.
        allow_code_execution: One consent; the environment variable LIT_ALIGN_ALLOW_CODE_EXECUTION=1 is the other.
        sandbox: Where the code runs; None is the safest, with the usual limits.

    Raises:
        ConfigError: A consent is missing, or the system refuses the sandbox.
    """

    def __init__(
        self,
        read: Callable[[Mapping[str, Any]], Problem],
        *,
        allow_code_execution: bool,
        sandbox: Sandbox | None = None,
    ) -> None:
        require_consent(allow_code_execution)
        self._read = read
        self._sandbox = sandbox or Sandbox()
        self._sandbox.check()

    def verify(self, row: Mapping[str, Any], response: str) -> Verdict:
        problem = self._read(row)
        if not response.strip():
            return verdict(False, reason="empty_response", tests_passed=0, tests=len(problem.tests))
        outcome = self._sandbox.run(problem.job(response))
        details = {"tests_passed": outcome.passed, "tests": len(problem.tests)}
        if outcome.reason != "passed":
            details |= {"error": outcome.error, "test": outcome.test}
        return Verdict(
            passed=outcome.reason == "passed",
            score=outcome.passed / len(problem.tests),
            reason=outcome.reason,
            details=details,
        )


def require_consent(allowed: bool) -> None:
    """Refuses to go on without both consents.

    Raises:
        ConfigError: One of them is missing; which, is said.
    """
    missing = [] if allowed else ["the option allow_code_execution"]
    if os.environ.get(CONSENT) != "1":
        missing.append(f"the environment variable {CONSENT}=1")
    if missing:
        raise ConfigError(
            "verifying code runs programs that a model wrote, and needs two consents\n"
            f"Missing: {' and '.join(missing)}."
        )
