"""Programming problems: rows of HumanEval and MBPP, and the code in a response."""

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lit_align.errors import DataError
from lit_align.synthesis.verifiers.base import column, text_column

_FENCE = re.compile(r"^([ \t]*)```[ \t]*(\w*)[^\n]*\n(.*?)(?:^[ \t]*```|\Z)", re.DOTALL | re.MULTILINE)
_CALL = re.compile(r"\b([^\W\d]\w*)\s*\(")
_AT_MARGIN = re.compile(r"\n(?=[^\s#)\]}])")
PYTHON = ("", "python", "py", "python3")
"""What a block of Python says it is, in lower case; many say nothing."""


@dataclass(frozen=True, kw_only=True)
class Problem:
    """What a response's code is tried with.

    Attributes:
        stub: Code that the response continues or repeats, such as a signature; empty where it stands alone.
        before: Run before the tests, and not by the response's code: the helpers that a prompt defines.
        setup: Run before the tests with the names that the response's code supplies.
        tests: Each is a statement that fails by an exception.
        supplied: Names the response's code has to define; empty means what the reference solution defines.
        reference: A right solution, empty where there is none; only its names and imports are used.
    """

    stub: str = ""
    before: str = ""
    setup: str = ""
    tests: tuple[str, ...]
    supplied: tuple[str, ...] = ()
    reference: str = ""

    def job(self, response: str) -> dict[str, Any]:
        """The work of the sandbox."""
        # Where blocks together are no Python, one of them may show output: then what the tests call is looked for.
        codes = dict.fromkeys(extract_code(response, names) for names in (self.supplied, self._called()))
        return {
            "programs": [program for code in codes for program in self.programs(code)],
            "before": self.before,
            "setup": self.setup,
            "tests": list(self.tests),
            "supplied": list(self.supplied),
            "reference": self.reference,
        }

    def _called(self) -> list[str]:
        return [name for test in self.tests for name in _CALL.findall(test)]

    def programs(self, code: str) -> list[str]:
        """The programs that the code may mean; the first that is Python counts."""
        if not self.stub:
            return [code]
        if any(_defines(code, name) for name in self.supplied):
            # The stub goes first for its imports and helpers; the code defines its function anew.
            return [f"{self.stub}\n\n{code}", code]
        # A base model goes on after the function; what follows at the margin is not part of it.
        stub = self.stub if self.stub.endswith("\n") else f"{self.stub}\n"
        return [stub + code, stub + _AT_MARGIN.split(code, maxsplit=1)[0]]


def extract_code(response: str, names: Sequence[str] = ()) -> str:
    r"""The Python in a response: the last block that defines one of the names, else all blocks, else all of it.

    >>> extract_code("Sure:\n```python\nx = 1\n```\nDone.")
    'x = 1\n'
    """
    blocks = code_blocks(response)
    for block in reversed(blocks):
        if any(_defines(block, name) for name in names):
            return block
    return "\n".join(blocks) if blocks else response


def code_blocks(response: str, languages: Collection[str] | None = PYTHON) -> list[str]:
    """The fenced blocks of a response in some languages, or in any, without the indentation at which they stand."""
    return [
        re.sub(rf"^{margin}", "", code, flags=re.MULTILINE)  # a block in a list is indented as a whole
        for margin, language, code in _FENCE.findall(response)
        if languages is None or language.lower() in languages
    ]


def _defines(code: str, name: str) -> bool:
    return (
        re.search(rf"^(?:async\s+)?(?:def|class)\s+{re.escape(name)}\b|^{re.escape(name)}\s*=", code, re.M) is not None
    )


def human_eval(row: Mapping[str, Any]) -> Problem:
    """A row of HumanEval (arXiv:2107.03374): `prompt`, `test` and `entry_point`.

    Raises:
        DataError: One of them is missing or no text.
    """
    prompt, test = _prompt(row), text_column(row, "test", verifier="humaneval")
    name = text_column(row, "entry_point", verifier="humaneval")
    if not name.isidentifier():
        raise DataError(f"`entry_point` must be a name of Python, got {name!r}")
    return Problem(stub=prompt, before=prompt, setup=test, tests=(f"check({name})",), supplied=(name,))


def mbpp(row: Mapping[str, Any]) -> Problem:
    """A row of MBPP (arXiv:2108.07732): `test_list`; `test_setup_code` or `test_imports`, and the solution `code`.

    Raises:
        DataError: A column has the wrong type, or there is no test.
    """
    tests = column(row, "test_list")
    if not isinstance(tests, list) or not tests or not all(isinstance(test, str) for test in tests):
        raise DataError("`test_list`: mbpp needs it as a list of strings, and not empty")
    imports = column(row, "test_imports") or []
    if not isinstance(imports, list):
        raise DataError(f"`test_imports` must be a list of statements, got {imports!r}")
    optional = {
        name: text_column(row, name, verifier="mbpp") if column(row, name) is not None else ""
        for name in ("code", "test_setup_code")
    }
    return Problem(
        before="\n".join(map(str, imports)),
        setup=optional["test_setup_code"].replace("\r\n", "\n"),
        tests=tuple(tests),
        reference=optional["code"].replace("\r\n", "\n"),
    )


def _prompt(row: Mapping[str, Any]) -> str:
    """The prompt as code: the text, or the last user turn of a chat; of fenced code the inside."""
    prompt = column(row, "prompt")
    if isinstance(prompt, list):
        turns = [turn.get("content") for turn in prompt if isinstance(turn, Mapping) and turn.get("role") == "user"]
        prompt = turns[-1] if turns else None
    if not isinstance(prompt, str):
        raise DataError("`prompt`: humaneval needs it as a string or as messages")
    return extract_code(prompt)
