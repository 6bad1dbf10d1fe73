import json
from pathlib import Path
from typing import Any

import pytest

from lit_align.commands.verify import verify
from lit_align.errors import ConfigError, DataError
from lit_align.synthesis.verifiers import RowVerifier, verifier_of, verify_rows
from lit_align.synthesis.verifiers.code import CONSENT

_NUMBER = {"question": "2 + 2?", "answer": "#### 4"}
_INSTRUCTION = {"instruction_id_list": ["punctuation:no_comma"], "kwargs": [{}]}


def _write(path: Path, rows: list[dict[str, Any]]) -> str:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def _read(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_rows_of_several_kinds_get_verdicts_and_rewards(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = _write(
        tmp_path / "in.jsonl",
        [
            {**_NUMBER, "response": "It is 4."},
            {**_INSTRUCTION, "responses": ["Yes", "Well, yes"]},
            {"solution": "So \\boxed{1}", "chosen": "\\boxed{1}", "rejected": "\\boxed{2}"},
            {"meta": _INSTRUCTION, "response": "a, b"},
        ],
    )
    output = tmp_path / "out.jsonl"
    verify(data=data, output=output, workers=2)
    first, second, third, fourth = _read(output)
    assert first["response"] == "It is 4."
    assert first["verdict"] == {
        "passed": True, "score": 1.0, "reason": "passed", "details": {"expected": "4", "found": "4"},
    }  # fmt: skip
    assert first["reward"] == 1.0
    assert (second["rewards"], [v["passed"] for v in second["verdicts"]]) == ([1.0, 0.0], [True, False])
    assert (third["chosen_reward"], third["rejected_verdict"]["reason"]) == (1.0, "wrong_answer")
    assert fourth["reward"] == 0.0
    printed = capsys.readouterr().out
    assert "3 of 6 responses passed (50.0%)" in printed
    assert "prompt level: strict 33.3%, loose 33.3%" in printed


def test_a_killed_run_continues_and_writes_the_same(tmp_path: Path) -> None:
    data = _write(tmp_path / "in.jsonl", [{**_NUMBER, "response": f"It is {n}."} for n in range(200)])
    verify_rows(RowVerifier(), data, tmp_path / "whole.jsonl", key=1)
    whole = (tmp_path / "whole.jsonl").read_bytes()

    class Killed(Exception):
        pass

    class Breaking(RowVerifier):  # type: ignore[misc]
        def verify(self, row: Any, response: str) -> Any:
            if response == "It is 150.":
                raise Killed
            return super().verify(row, response)

    output = tmp_path / "out.jsonl"
    with pytest.raises(Killed):
        verify_rows(Breaking(), data, output, key=1)
    part = tmp_path / "out.jsonl.part"
    done = part.read_bytes()
    assert 64 <= done.count(b"\n") <= 150
    part.write_bytes(done + b'{"torn')
    assert verify_rows(RowVerifier(), data, output, key=1).passed == 1
    assert output.read_bytes() == whole
    assert verify_rows(RowVerifier(), data, output, key=1).responses == 200
    with pytest.raises(ConfigError, match="of another model, input or settings"):
        verify_rows(RowVerifier(), data, output, key=2)


@pytest.mark.parametrize(
    ("row", "match"),
    [
        ({**_NUMBER}, "in.jsonl:1: no `response`"),
        ({**_NUMBER, "response": "\ud800"}, "in.jsonl:1: .*half of a UTF-16 pair"),
        ({**_NUMBER, "response": 4}, "`response` must hold text, found int"),
        ({**_NUMBER, "responses": "4"}, "`responses` must be a list"),
        ({**_NUMBER, "response": "4", "reward": 0.5}, "has `reward` already\nGive another column"),
        ({"response": "4"}, "no column tells which verifier"),
        ({"response": "4", "verifier": "toy"}, "`verifier` must be one of ifeval"),
        ({"response": "4", "verifier": "gsm8k"}, "`answer`: gsm8k needs it as a string, found none"),
        ({"response": "4", "verifier": "mbpp", "test_list": []}, "needs two consents|`test_list`"),
    ],
)
def test_bad_rows_are_told_with_their_place(tmp_path: Path, row: dict[str, Any], match: str) -> None:
    data = _write(tmp_path / "in.jsonl", [row])
    with pytest.raises((DataError, ConfigError), match=match):
        verify(data=data, output=tmp_path / "out.jsonl")


def test_another_column_takes_the_score(tmp_path: Path) -> None:
    data = _write(tmp_path / "in.jsonl", [{**_NUMBER, "response": "4", "reward": 0.5}])
    verify(data=data, output=tmp_path / "out.jsonl", reward="verified")
    assert (_read(tmp_path / "out.jsonl")[0]["reward"], _read(tmp_path / "out.jsonl")[0]["verified"]) == (0.5, 1.0)


def test_code_is_not_run_without_both_consents(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    row = {"response": "x = 1", "test_list": ["assert x == 1"]}
    data = _write(tmp_path / "in.jsonl", [row])
    monkeypatch.delenv(CONSENT, raising=False)
    with pytest.raises(ConfigError, match=f"the option allow_code_execution and the environment variable {CONSENT}=1"):
        verify(data=data, output=tmp_path / "out.jsonl")
    with pytest.raises(ConfigError, match=f"Missing: the environment variable {CONSENT}=1."):
        verify(data=data, output=tmp_path / "out.jsonl", verifier="mbpp", allow_code_execution=True)
    monkeypatch.setenv(CONSENT, "1")
    with pytest.raises(ConfigError, match=r"Missing: the option allow_code_execution\."):
        verify(data=data, output=tmp_path / "out.jsonl", verifier="humaneval")
    assert not (tmp_path / "out.jsonl").exists()


@pytest.mark.parametrize(
    ("row", "name"),
    [
        (_INSTRUCTION, "ifeval"),
        ({"test_list": ["assert f()"]}, "mbpp"),
        ({"test": "def check(f): ...", "entry_point": "f"}, "humaneval"),
        (_NUMBER, "gsm8k"),
        ({"solution": "\\boxed{1}"}, "math"),
        ({"answer": "4", "verifier": "math"}, "math"),
    ],
)
def test_the_columns_of_a_row_tell_its_verifier(row: dict[str, Any], name: str) -> None:
    assert verifier_of(row) == name
