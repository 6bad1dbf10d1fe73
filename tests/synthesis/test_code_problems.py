import gzip
import json
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from lit_align.errors import ConfigError, DataError
from lit_align.synthesis.verifiers.code import CONSENT, CodeVerifier, Problem, extract_code, human_eval, mbpp

_STUB = 'def add(a, b):\n    """Adds."""\n'
_ROW = {"prompt": _STUB, "entry_point": "add", "test": "def check(candidate):\n    assert candidate(1, 2) == 3\n"}


@pytest.mark.parametrize(
    ("response", "names", "code"),
    [
        ("x = 1", (), "x = 1"),
        ("    return a + b", ("add",), "    return a + b"),
        ("Sure:\n```python\nx = 1\n```\nand\n```\ny = 2\n```", (), "x = 1\n\ny = 2\n"),
        ("```python\ndef f(): pass\n```\nUse it:\n```python\nf()\n```", ("f",), "def f(): pass\n"),
        ("```python\ndef f(): 1\n```\nBetter:\n```py\ndef f(): 2\n```", ("f",), "def f(): 2\n"),
        ("```bash\npip install x\n```\n```python\nx = 1\n```", (), "x = 1\n"),
        ("Cut off:\n```python\nx = 1", (), "x = 1"),
        ("1. Write\n\n   ```python\n   def f():\n       return 1\n   ```", (), "def f():\n    return 1\n"),
    ],
)
def test_code_is_found_in_answers(response: str, names: tuple[str, ...], code: str) -> None:
    assert extract_code(response, names) == code


def _runs(problem: Problem, response: str) -> Any:
    """What add(1, 2) is with the first of the problem's programs that is Python."""
    for program in problem.job(response)["programs"]:
        try:
            code = compile(program, "program", "exec")
        except SyntaxError:
            continue
        names: dict[str, Any] = {}
        exec(code, names)
        return names["add"](1, 2)
    return None


@pytest.mark.parametrize("shown", ["```\n4 6\n```", "```python\n>>> add(1, 2)\n3\n```", "```\nadd(1, 2) -> 3\n```"])
def test_output_that_a_response_shows_is_no_part_of_its_code(shown: str) -> None:
    block = "```python\ndef add(a, b):\n    return a + b\n```"
    for response in (f"{block}\nOutput:\n{shown}", f"Like this:\n{shown}\n{block}"):
        assert _runs(mbpp({"test_list": ["assert add(1, 2) == 3"]}), response) == 3


def test_blocks_belong_together() -> None:
    response = "```python\nimport math\n```\nand\n```python\ndef add(a, b):\n    return int(math.fsum([a, b]))\n```"
    assert _runs(mbpp({"test_list": ["assert add(1, 2) == 3"]}), response) == 3


@pytest.mark.parametrize(
    "response",
    [
        "    return a + b\n",
        "\n    c = a + b\n\n    return c\n\nHere it adds the numbers.",
        "    return a + b\n\n\ndef test(:",
        "def add(a, b):\n    return a + b",
        "I wrote this:\n```python\ndef add(a, b):\n    return a + b\n```",
        "```python\n    return a + b\n```",
    ],
)
@pytest.mark.parametrize(
    "prompt", [_STUB, [{"role": "user", "content": f"Complete this:\n```python\n{_STUB}```"}], _STUB.rstrip("\n")]
)
def test_a_response_continues_the_prompt_or_repeats_it(prompt: Any, response: str) -> None:
    assert _runs(human_eval({**_ROW, "prompt": prompt}), response) == 3


@pytest.mark.parametrize(
    ("read", "row", "match"),
    [
        (human_eval, {**_ROW, "test": None}, "`test`: humaneval needs it"),
        (human_eval, {**_ROW, "entry_point": "os.system"}, "must be a name of Python"),
        (human_eval, {**_ROW, "prompt": 3}, "`prompt`: humaneval needs it"),
        (mbpp, {"test_list": "assert f()"}, "`test_list`: mbpp needs it"),
        (mbpp, {"test_list": ["assert f()"], "code": 3}, "`code`: mbpp needs it"),
        (mbpp, {"test_list": ["assert f()"], "test_imports": "import re"}, "`test_imports` must be a list"),
    ],
)
def test_malformed_problems_are_refused(
    read: Callable[[Mapping[str, Any]], Problem], row: dict[str, Any], match: str
) -> None:
    with pytest.raises(DataError, match=match):
        read(row)


def _verifier(monkeypatch: pytest.MonkeyPatch, read: Callable[[Mapping[str, Any]], Problem]) -> CodeVerifier:
    monkeypatch.setenv(CONSENT, "1")
    try:
        return CodeVerifier(read, allow_code_execution=True)
    except ConfigError as error:
        pytest.skip(str(error).partition("\n")[0])


def test_the_score_is_the_share_of_tests_passed(monkeypatch: pytest.MonkeyPatch) -> None:
    verifier = _verifier(monkeypatch, mbpp)
    row = {"test_list": ["assert f(1) == 1", "assert f(2) == 4"]}
    half = verifier.verify(row, "```python\ndef f(x):\n    return x\n```")
    assert (half.passed, half.score, half.reason) == (False, 0.5, "failed")
    assert half.details == {"tests_passed": 1, "tests": 2, "error": "AssertionError", "test": "assert f(2) == 4"}
    assert verifier.verify(row, "def f(x): return x * x").passed
    assert verifier.verify(row, " ").reason == "empty_response"
    assert verifier.verify(row, "I cannot do that.").reason == "syntax_error"


def _wrong(verifier: CodeVerifier, rows: list[dict[str, Any]], solution: str) -> list[Any]:
    with ThreadPoolExecutor(2) as pool:
        verdicts = list(pool.map(lambda row: verifier.verify(row, row[solution]), rows))
    return [(row["task_id"], verdict) for row, verdict in zip(rows, verdicts, strict=True) if not verdict.passed]


def _rows(path: Path) -> list[dict[str, Any]]:
    with gzip.open(path, "rt", encoding="utf-8") as file:
        return [json.loads(line) for line in file]


# Those with helpers in the prompt (32, 38, 50), and with classes and set-up code or a type as an argument.
_HUMAN_EVAL = ["HumanEval/32", "HumanEval/38", "HumanEval/50"]
_MBPP = [601, 533, 927]


def test_solutions_that_need_more_than_a_call_pass(shared_data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [row for row in _rows(shared_data / "humaneval" / "HumanEval.jsonl.gz") if row["task_id"] in _HUMAN_EVAL]
    assert _wrong(_verifier(monkeypatch, human_eval), rows, "canonical_solution") == []
    rows = [row for row in _rows(shared_data / "mbpp" / "mbpp.jsonl.gz") if row["task_id"] in _MBPP]
    assert _wrong(_verifier(monkeypatch, mbpp), rows, "code") == []


@pytest.mark.slow
def test_all_canonical_solutions_pass(shared_data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = _rows(shared_data / "humaneval" / "HumanEval.jsonl.gz")
    assert _wrong(_verifier(monkeypatch, human_eval), rows, "canonical_solution") == []
    rows = _rows(shared_data / "mbpp" / "mbpp.jsonl.gz")
    assert _wrong(_verifier(monkeypatch, mbpp), rows, "code") == []
