"""Judges of responses by program: verifiable instructions, final answers, code that must pass tests."""

from lit_align.synthesis.verifiers.base import Verdict, Verifier
from lit_align.synthesis.verifiers.registry import (
    CODE_VERIFIERS,
    VERIFIERS,
    RowVerifier,
    Settings,
    VerifierName,
    build_verifier,
    check_row,
    verifier_of,
)
from lit_align.synthesis.verifiers.rows import Verified, summarise, verify_rows

__all__ = [
    "CODE_VERIFIERS",
    "VERIFIERS",
    "RowVerifier",
    "Settings",
    "Verdict",
    "Verified",
    "Verifier",
    "VerifierName",
    "build_verifier",
    "check_row",
    "summarise",
    "verifier_of",
    "verify_rows",
]
