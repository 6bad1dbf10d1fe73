"""`lit-align data check`, through its command line."""

import json
from pathlib import Path
from typing import Any

import pytest

from lit_align.cli.main import main
from lit_align.data.report import spread

RATED = [
    {"prompt": "Hi", "response": f"r{i}", "helpfulness": i % 5, "verbosity": None if i % 2 else 2} for i in range(10)
]


def write(path: Path, rows: list[dict[str, Any]]) -> str:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    code = main(["data", "check", *arguments])
    out, err = capsys.readouterr()
    return code, out, err


def test_the_last_line_of_json_is_the_accounting(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    path = write(tmp_path / "a.jsonl", [*RATED, {"prompt": "", "response": "x"}, {"prompt": "a", "response": "x"}])
    code, out, _ = run(capsys, path, "--kind", "rating", "--json")
    assert code == 0
    counts = json.loads(out.splitlines()[-1])
    assert counts == {"read": 12, "kept": 10, "dropped": {"empty_prompt": 1, "no_labels": 1}}
    assert counts["read"] == counts["kept"] + sum(counts["dropped"].values())


def test_the_table_shows_each_attribute_by_name(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    _, out, _ = run(capsys, write(tmp_path / "a.jsonl", RATED), "--kind", "rating")
    columns = {line.split()[0]: line.split()[1:] for line in out.splitlines() if line.strip()}
    #                                rows missing min median p95 max mean std
    assert columns["helpfulness"] == ["10", "0", "0", "2", "4", "4", "2", "1.41421"]
    assert columns["verbosity"] == ["5", "5", "2", "2", "2", "2", "2", "0"]
    assert columns["same_prompt"] == ["9"]


@pytest.mark.parametrize("arguments", [(), ("--on_bad", "drop", "--max_bad_rows", "0")])
def test_malformed_input_exits_with_3_and_the_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...]
):
    path = write(tmp_path / "a.jsonl", [{"prompt": "a", "response": "b"}, {"prompt": 3, "response": "b"}])
    code, out, err = run(capsys, path, "--kind", "sft", "--json", *arguments)
    assert code == 3
    assert f"{path}:2: `prompt` must be a string" in err
    assert out == ""


def test_malformed_rows_can_be_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    path = write(tmp_path / "a.jsonl", [{"prompt": "a", "response": "b"}, {"prompt": 3, "response": "b"}])
    code, out, _ = run(capsys, path, "--kind", "sft", "--json", "--on_bad", "drop")
    assert code == 0
    assert json.loads(out.splitlines()[-1])["dropped"] == {"malformed": 1}
    assert "`prompt` must be a string" in out
    assert "WARNING: 50% of the rows were dropped" in out


def test_a_file_of_which_nothing_is_left_is_accounted_for_and_an_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    path = write(tmp_path / "a.jsonl", [{"prompt": "a", "chosen": "b", "rejected": "b"}] * 2)
    code, out, err = run(capsys, path, "--kind", "preference", "--json")
    assert code == 3
    assert json.loads(out.splitlines()[-1]) == {"read": 2, "kept": 0, "dropped": {"identical_responses": 2}}
    assert "all 2 rows were dropped" in err


def test_leaks_are_counted_and_can_be_an_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    train = write(tmp_path / "train.jsonl", [{"prompt": p, "response": "x"} for p in ("a", "b", "c")])
    held = write(tmp_path / "held.jsonl", [{"prompt": p, "response": "y"} for p in ("d", "B ")])
    arguments = (train, "--kind", "sft", "--validation", held)
    code, out, _ = run(capsys, *arguments)
    assert code == 0
    assert any(line.split() == ["leaked", "1"] for line in out.splitlines())
    code, _, err = run(capsys, *arguments, "--duplicates", "error")
    assert code == 3
    assert f"{train}:2: the prompt also stands at {held}:2; 1 rows leak" in err


def test_repeated_rows_can_be_an_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    path = write(tmp_path / "a.jsonl", [{"prompt": "a", "response": "x"}] * 2)
    assert run(capsys, path, "--kind", "sft")[0] == 0
    code, _, err = run(capsys, path, "--kind", "sft", "--duplicates", "error")
    assert code == 3
    assert "1 rows repeat an earlier row" in err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("a.jsonl", "--kind", "sft", "--max_length", "8"), "give a tokenizer too"),
        (("no_such_file.jsonl", "--kind", "sft"), "no such file or folder"),
        (("a.jsonl", "--kind", "dpo"), "kind"),
        (("a.jsonl",), "kind"),
    ],
)
def test_a_wrong_command_line_exits_with_2(capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], said: str):
    code, _, err = run(capsys, *arguments)
    assert code == 2
    assert said in err


def test_label_ranges_and_attributes_are_options(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    path = write(tmp_path / "a.jsonl", [{"prompt": "a", "response": "b", "clarity": 7}])
    assert run(capsys, path, "--kind", "rating", "--attributes", "[clarity]")[0] == 0
    code, _, err = run(capsys, path, "--kind", "rating", "--attributes", "[clarity]", "--label_range", "[1, 5]")
    assert code == 3
    assert f"{path}:1: `clarity` is 7; the declared range is 1 to 5" in err


def test_lengths_are_counted_and_enforced_with_a_tokenizer(
    tmp_path: Path, shared_data: Path, capsys: pytest.CaptureFixture[str]
):
    rows = [
        {"prompt": "Once", "chosen": "upon a time", "rejected": "upon"},
        {"prompt": "a", "chosen": "b" * 99, "rejected": "c"},
    ]
    rows += [{"prompt": "d" * 99, "chosen": "e", "rejected": "f"}]
    tokenizer = str(shared_data / "tokenizers" / "tok512_bpe.model")
    arguments = (write(tmp_path / "a.jsonl", rows), "--kind", "preference", "--tokenizer", tokenizer)
    code, out, _ = run(capsys, *arguments, "--max_length", "20", "--json")
    assert code == 0
    counts = json.loads(out.splitlines()[-1])
    assert counts == {"read": 3, "kept": 1, "dropped": {"too_long": 1, "prompt_too_long": 1}}
    lengths = next(line.split() for line in out.splitlines() if line.split()[:1] == ["tokens"])
    assert lengths[1:3] == ["3", "0"]  # the lengths of dropped rows are shown too
    assert float(lengths[6]) > 20


def test_a_row_the_template_cannot_take_is_malformed_at_its_line(
    tmp_path: Path, shared_data: Path, capsys: pytest.CaptureFixture[str]
):
    talk = [{"role": role, "content": "Hi"} for role in ("user", "assistant", "user")]
    path = write(tmp_path / "a.jsonl", [{"prompt": "Hi", "response": "x"}, {"prompt": talk, "response": "x"}])
    tokenizer = str(shared_data / "tokenizers" / "tok512_bpe.model")
    arguments = (path, "--kind", "sft", "--tokenizer", tokenizer, "--template", "raw", "--json")
    code, _, err = run(capsys, *arguments)
    assert code == 3
    assert f"{path}:2: " in err
    code, out, _ = run(capsys, *arguments, "--on_bad", "drop")
    assert code == 0
    assert json.loads(out.splitlines()[-1]) == {"read": 2, "kept": 1, "dropped": {"malformed": 1}}


def test_a_spread_equals_numbers_computed_by_hand():
    s = spread([4.0, 1.0, 3.0, 2.0])
    assert (s.count, s.low, s.high, s.mean, s.median) == (4, 1.0, 4.0, 2.5, 2.0)
    assert s.std == pytest.approx(1.25**0.5, abs=1e-12)
    assert spread([5.0]).p95 == 5.0
