"""Files, folders and hub ids: every row with its place, every fault with its line."""

import gzip
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from lit_align.data import readers
from lit_align.data.opening import open_source
from lit_align.data.sources import read_raw, read_rows
from lit_align.errors import ConfigError, DataError

ROWS = [{"prompt": f"p{index}", "response": f"r\u2028{index}\r"} for index in range(3)]


def jsonl(rows: list[dict[str, Any]], newline: str = "\n") -> bytes:
    return "".join(json.dumps(row, ensure_ascii=False) + newline for row in rows).encode()


def write(path: Path, content: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def write_parquet(path: Path, rows: list[dict[str, Any]]) -> Path:
    import pyarrow as pa
    import pyarrow.parquet as pq

    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(rows), path)
    return path


def error_of(path: str | Path, error: type[Exception] = DataError, **options: Any) -> str:
    with pytest.raises(error) as caught:
        read_rows(path, "sft", **options)
    assert len(str(caught.value).splitlines()) <= 6
    return str(caught.value)


# What can be read


@pytest.mark.parametrize(
    "content",
    [
        jsonl(ROWS),
        jsonl(ROWS, newline="\r\n"),
        b"\xef\xbb\xbf" + jsonl(ROWS),
        jsonl(ROWS).rstrip(b"\n"),
        b"\n \n" + jsonl(ROWS, newline="\n\n\t\n"),
        b"".join(json.dumps(row).encode() + b"\n" for row in ROWS),
    ],
    ids=["plain", "crlf", "bom", "no last newline", "blank lines", "escaped"],
)
def test_the_same_rows_saved_in_six_ways_are_the_same(tmp_path: Path, content: bytes):
    assert [row for _, row in read_raw(write(tmp_path / "a.jsonl", content))] == ROWS
    assert [row for _, row in read_raw(write(tmp_path / "a.jsonl.gz", gzip.compress(content)))] == ROWS


def test_places_count_lines_from_one_and_blank_lines_too(tmp_path: Path):
    path = write(tmp_path / "a.jsonl", b'{"a": 1}\n\n{"a": 2}\n')
    assert [place for place, _ in read_raw(path)] == [f"{path}:1", f"{path}:3"]


def test_parquet_and_json_lists_count_rows_from_one(tmp_path: Path):
    for path in (write_parquet(tmp_path / "a.parquet", ROWS), write(tmp_path / "a.json", json.dumps(ROWS).encode())):
        read = list(read_raw(path))
        assert [row for _, row in read] == ROWS
        assert [place for place, _ in read] == [f"{path}:row {number}" for number in (1, 2, 3)]


def test_a_folder_gives_the_files_of_one_split_in_order(tmp_path: Path):
    write(tmp_path / "train-00001.jsonl", b'{"a": 2}\n')
    write(tmp_path / "train-00000.jsonl", b'{"a": 1}\n')
    write(tmp_path / "data" / "train" / "x.jsonl.gz", gzip.compress(b'{"a": 0}\n'))
    write(tmp_path / "test.jsonl", b'{"a": 9}\n')
    write(tmp_path / "trainer.jsonl", b'{"a": 9}\n')
    assert [row["a"] for _, row in read_raw(tmp_path)] == [0, 1, 2]
    assert [row["a"] for _, row in read_raw(tmp_path, split="test")] == [9]
    assert "no file of the split 'dev'" in error_of(tmp_path, ConfigError, split="dev")


def test_a_folder_that_datasets_saved_is_read(tmp_path: Path):
    datasets = pytest.importorskip("datasets")
    data = datasets.DatasetDict({"train": datasets.Dataset.from_list(ROWS)})
    data.save_to_disk(tmp_path / "saved")
    assert [row for _, row in read_raw(tmp_path / "saved")] == ROWS
    assert "splits: train" in error_of(tmp_path / "saved", ConfigError, split="test")


def test_a_hub_id_is_loaded_through_datasets(monkeypatch: pytest.MonkeyPatch):
    datasets = pytest.importorskip("datasets")
    asked = []

    def load(*args: Any, **options: Any) -> Any:
        asked.append((args, options))
        return datasets.Dataset.from_list(ROWS)

    monkeypatch.setattr(datasets, "load_dataset", load)
    read = list(read_raw("owner/name:part", split="validation"))
    assert asked == [(("owner/name", "part"), {"data_dir": None, "split": "validation"})]
    assert read[1] == ("owner/name:part[validation]:row 2", ROWS[1])
    list(read_raw("owner/name:/some/folder"))
    assert asked[1] == (("owner/name", None), {"data_dir": "some/folder", "split": "train"})


def test_a_hub_that_cannot_be_reached_points_to_files(monkeypatch: pytest.MonkeyPatch):
    datasets = pytest.importorskip("datasets")

    def load(*_: Any, **__: Any) -> Any:
        raise ConnectionError("Couldn't reach 'owner/name' on the Hub\nRetrying in 1s")

    monkeypatch.setattr(datasets, "load_dataset", load)
    said = error_of("owner/name", ConfigError)
    assert "Couldn't reach 'owner/name'" in said
    assert "Give a file instead (.jsonl, .jsonl.gz, .json, .parquet)" in said
    assert "Retrying" not in said


# What is not there


def test_a_missing_file_names_the_nearest_one(tmp_path: Path):
    write(tmp_path / "train.jsonl", jsonl(ROWS))
    assert f"Nearest existing: {tmp_path / 'train.jsonl'}" in error_of(tmp_path / "trian.jsonl", ConfigError)
    assert "no such file or folder" in error_of(tmp_path / "no" / "where.jsonl", ConfigError)


def test_a_missing_file_in_an_existing_folder_is_no_hub_id(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "data" / "pairs.jsonl", jsonl(ROWS))
    assert "Nearest existing: data/pairs.jsonl" in error_of("data/pairs", ConfigError)


def test_an_unknown_extension_names_the_known_ones(tmp_path: Path):
    assert ".jsonl, .jsonl.gz, .json, .parquet" in error_of(write(tmp_path / "a.csv", b"a,b\n"), ConfigError)


@pytest.mark.parametrize("content", [b"", b"\n\n", b"\xef\xbb\xbf"])
def test_an_empty_file_is_an_error(tmp_path: Path, content: bytes):
    assert "no rows" in error_of(write(tmp_path / "a.jsonl", content))


# What is malformed

GOOD = b'{"prompt": "a", "response": "b"}\n'
MALFORMED = {
    "cut line": (b'{"prompt": "a", "resp\n', "invalid JSON at column 17: Unterminated string"),
    "trailing comma": (b'{"prompt": "a",}\n', "invalid JSON at column"),
    "two objects": (b'{"a": 1} {"b": 2}\n', "Extra data"),
    "single quotes": (b"{'a': 1}\n", "invalid JSON at column 2"),
    "raw NUL": (b'{"prompt": "a\0b"}\n', "Invalid control character"),
    "raw tab": (b'{"prompt": "a\tb"}\n', "Invalid control character"),
    "latin-1": ('{"prompt": "café"}\n'.encode("latin-1"), "not UTF-8 at byte 16 (0xe9)"),
    "raw surrogate": (b'{"prompt": "\xed\xa0\x80"}\n', "not UTF-8"),
    "bad escape": (b'{"prompt": "\\x"}\n', "Invalid \\escape"),
    "duplicate key": (b'{"prompt": "a", "prompt": "b"}\n', "the key 'prompt' appears twice"),
    "nested duplicate key": (b'{"m": [{"role": 1, "role": 2}]}\n', "the key 'role' appears twice"),
    "array": (b"[1, 2]\n", "a row must be a JSON object, found list"),
    "number": (b"3\n", "found int"),
    "null": (b"null\n", "found NoneType"),
    "deep": (b"[" * 100_000 + b"]" * 100_000 + b"\n", "nested too deeply"),
    "huge integer": (b'{"prompt": ' + b"9" * 5000 + b"}\n", "invalid JSON"),
    "not JSON": (b"hello\n", "invalid JSON at column 1"),
}


@pytest.mark.parametrize(("line", "said"), MALFORMED.values(), ids=MALFORMED.keys())
@pytest.mark.parametrize("suffix", [".jsonl", ".jsonl.gz"])
def test_a_malformed_line_is_named_and_can_be_dropped(tmp_path: Path, suffix: str, line: bytes, said: str):
    content = GOOD + b"\n" + line + GOOD
    path = write(tmp_path / f"a{suffix}", gzip.compress(content) if suffix.endswith("gz") else content)
    message = error_of(path)
    assert message.startswith(f"{path}:3: ")
    assert said in message
    rows, counts = read_rows(path, "sft", on_bad="drop")
    assert counts.to_dict() == {"read": 3, "kept": 2, "dropped": {"malformed": 1}}
    assert counts.first_places == {"malformed": f"{path}:3"}
    assert len(rows) == 2


def test_an_endless_line_is_refused_without_being_read_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(readers, "MAX_LINE_BYTES", 1000)
    path = write(tmp_path / "a.jsonl", GOOD + b'{"a": "' + b"x" * 5000 + b'"}\n' + GOOD)
    assert error_of(path).startswith(f"{path}:2: longer than")
    assert read_rows(path, "sft", on_bad="drop")[1].to_dict() == {"read": 3, "kept": 2, "dropped": {"malformed": 1}}


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.jsonl", gzip.compress(GOOD), "is gzip-compressed"),
        ("a.jsonl.gz", GOOD, "not gzip-compressed although its name ends in .gz"),
        ("a.jsonl.gz", gzip.compress(GOOD * 500)[:-20], "cut off or damaged"),
        ("a.jsonl.gz", gzip.compress(GOOD)[:15] + b"\xff\xff\xff" + gzip.compress(GOOD)[18:], "cut off or damaged"),
        ("a.jsonl", GOOD.decode().encode("utf-16"), "not UTF-8 but UTF-16"),
        ("a.jsonl", GOOD.decode().encode("utf-16-le"), "not UTF-8 but UTF-16"),
        ("a.parquet", GOOD, "not a readable Parquet file"),
        ("a.json", GOOD, "must hold one list of objects"),
        ("a.json", GOOD + GOOD, "invalid JSON at line 2"),
        ("a.json", b"[1]", "a.json:row 1: a row must be a JSON object"),
    ],
    ids=[
        "compressed without saying so",
        "plain under .gz",
        "gzip without its end",
        "gzip damaged inside",
        "UTF-16",
        "UTF-16 without BOM",
        "no Parquet",
        "no list",
        "two objects",
        "a number in the list",
    ],
)
def test_a_file_that_is_not_what_it_says_is_refused(tmp_path: Path, name: str, content: bytes, said: str):
    path = write(tmp_path / name, content)
    message = error_of(path)
    assert message.startswith(str(path))
    assert said in message


def test_a_parquet_file_that_is_damaged_inside_is_refused(tmp_path: Path):
    path = write_parquet(tmp_path / "a.parquet", [{"prompt": "a" * 50, "response": str(i)} for i in range(300)])
    content = bytearray(path.read_bytes())
    content[4:60] = b"\xff" * 56
    assert "a.parquet" in error_of(write(path, bytes(content)))


# What happens to bad rows

MIXED = GOOD + b'{"prompt": "a", "response": ""}\n' + b"oops\n" + b"oops\n" + GOOD


def test_dropped_rows_are_counted_by_reason(tmp_path: Path):
    rows, counts = read_rows(write(tmp_path / "a.jsonl", MIXED), "sft", on_bad="drop")
    assert counts.to_dict() == {"read": 5, "kept": 2, "dropped": {"malformed": 2, "empty_response": 1}}
    assert len(rows) == counts.kept


def test_more_malformed_rows_than_accepted_are_an_error(tmp_path: Path):
    path = write(tmp_path / "a.jsonl", MIXED)
    assert read_rows(path, "sft", on_bad="drop", max_bad_rows=2)[1].dropped["malformed"] == 2
    assert error_of(path, on_bad="drop", max_bad_rows=1).startswith(f"{path}:4: ")
    assert error_of(path, on_bad="drop", max_bad_rows=0).startswith(f"{path}:3: ")


def test_a_row_of_no_use_can_be_an_error(tmp_path: Path):
    path = write(tmp_path / "a.jsonl", MIXED)
    message = error_of(path, drop_policy="error")
    assert message.startswith(f"{path}:2: empty_response: a response is empty or blank")
    assert "drop_policy" in message


def test_a_source_of_which_nothing_is_left_is_an_error(tmp_path: Path):
    path = write(tmp_path / "a.jsonl", b'{"prompt": "a", "response": ""}\n' * 3)
    assert "all 3 rows were dropped; most: empty_response (3)" in error_of(path)


def test_an_unknown_policy_is_refused():
    # In a process of its own: under pytest the type checker would answer first.
    code = "from lit_align.data.sources import read_rows; read_rows('a.jsonl', 'sft', on_bad='ignore')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "ConfigError: on_bad must be 'error' or 'drop', got 'ignore'" in done.stderr


# What it costs


def test_reading_imports_nothing_heavy():
    code = (
        "import sys, lit_align.data.sources, lit_align.data.mixing, lit_align.commands.data\n"
        "print({'torch', 'datasets', 'pyarrow', 'numpy', 'rich', 'lightning'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_rows_are_streamed(tmp_path: Path):
    path = write(tmp_path / "a.jsonl", GOOD * 10 + b"oops\n")
    rows = iter(open_source(path).rows)
    assert next(rows).place == f"{path}:1"
