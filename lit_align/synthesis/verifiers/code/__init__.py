"""Code that is right when its tests pass: HumanEval and MBPP, run in a sandbox after two consents."""

from lit_align.synthesis.verifiers.code.problems import PYTHON, Problem, code_blocks, extract_code, human_eval, mbpp
from lit_align.synthesis.verifiers.code.sandbox import Isolation, Limits, Outcome, Sandbox
from lit_align.synthesis.verifiers.code.verifier import CONSENT, CodeVerifier, require_consent

__all__ = [
    "CONSENT",
    "PYTHON",
    "CodeVerifier",
    "Isolation",
    "Limits",
    "Outcome",
    "Problem",
    "Sandbox",
    "code_blocks",
    "extract_code",
    "human_eval",
    "mbpp",
    "require_consent",
]
