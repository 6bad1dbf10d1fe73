"""The part file: nothing lost, nothing twice, whatever is left by a crash."""

import errno
import json
from pathlib import Path

import pytest

from lit_align.errors import ConfigError, ResourceError
from lit_align.generation.part_file import PartFile

REQUEST = {"generator": {"sampling": {"temperature": 1.0}}, "prompts": "abc"}


def record(number: int) -> dict:
    return {"id": f"row{number}", "sample": 0, "response": f"zw\u00f6lf \u2028 {number}\n\x1b"}


def fill(path: Path, numbers: range) -> bytes:
    with PartFile(path, request=REQUEST) as part:
        for number in numbers:
            part.add(record(number))
    return path.read_bytes()


def test_records_are_found_again_after_a_restart(tmp_path):
    fill(tmp_path / "part", range(3))
    with PartFile(tmp_path / "part", request=REQUEST) as part:
        assert part.keys == {("row0", 0), ("row1", 0), ("row2", 0)}
        assert part.record(("row1", 0)) == record(1)
        assert part.add(record(3))
        assert part.record(("row3", 0)) == record(3)


def test_a_sample_is_recorded_once(tmp_path):
    whole = fill(tmp_path / "part", range(2))
    with PartFile(tmp_path / "part", request=REQUEST) as part:
        assert not part.add({**record(1), "response": "another"})
    assert (tmp_path / "part").read_bytes() == whole


def test_a_cut_at_any_byte_loses_the_torn_line_only(tmp_path):
    path = tmp_path / "part"
    whole = fill(path, range(3))
    ends = [place + 1 for place, byte in enumerate(whole) if byte == ord("\n")]
    for cut in range(len(whole) + 1):
        path.write_bytes(whole[:cut])
        with PartFile(path, request=REQUEST) as part:
            assert len(part.keys) == max(0, sum(end <= cut for end in ends) - 1)
            for number in range(3):
                part.add(record(number))
        assert path.read_bytes() == whole


def test_garbage_is_cut_off_with_what_follows(tmp_path):
    path = tmp_path / "part"
    whole = fill(path, range(3))
    lines = whole.splitlines(keepends=True)
    path.write_bytes(b"".join([*lines[:2], b"\0\0\0\n", *lines[3:]]))
    with PartFile(path, request=REQUEST) as part:
        assert part.keys == {("row0", 0)}


def test_records_of_another_request_are_refused_or_replaced(tmp_path):
    fill(tmp_path / "part", range(3))
    other = {"generator": {"sampling": {"temperature": 0.5}}, "prompts": "abc"}
    with (
        pytest.raises(ConfigError, match=r"temperature is 1\.0 there, now 0\.5"),
        PartFile(tmp_path / "part", request=other),
    ):
        pass
    with PartFile(tmp_path / "part", request=other, replace=True) as part:
        assert part.keys == frozenset()
    assert json.loads((tmp_path / "part").read_text()) == other


def test_a_request_that_got_no_response_is_in_nobodys_way(tmp_path):
    fill(tmp_path / "part", range(0))
    with PartFile(tmp_path / "part", request={"other": 1}) as part:
        assert part.add(record(0))
    with pytest.raises(ConfigError, match="generator is null there"), PartFile(tmp_path / "part", request=REQUEST):
        pass


def test_a_second_process_is_kept_out(tmp_path):
    with (
        PartFile(tmp_path / "part", request=REQUEST),
        pytest.raises(ConfigError, match="another process"),
        PartFile(tmp_path / "part", request=REQUEST),
    ):
        pass


def test_a_full_disk_is_a_resource_error_and_what_was_written_stays(tmp_path):
    path = tmp_path / "part"
    whole = fill(path, range(2))
    with PartFile(path, request=REQUEST) as part:
        part._writer = _FullDisk(part._writer, room=20)
        with pytest.raises(ResourceError, match="no space left"):
            part.add(record(2))
    assert path.read_bytes() == whole + json.dumps(record(2), ensure_ascii=False).encode()[:20]
    assert fill(path, range(2)) == whole


class _FullDisk:
    def __init__(self, file, *, room: int) -> None:
        self._file, self._room = file, room

    def write(self, data: bytes) -> int:
        if self._room == 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        written, self._room = self._file.write(data[: self._room]), 0
        return written


def test_what_is_only_recorded_of_a_service_may_have_changed(tmp_path):
    then, now = ({"generator": {"model": "m", "versions": {"lit-align": name}}, "prompts": "abc"} for name in "12")
    path = tmp_path / "part"
    with PartFile(path, request=then) as part:
        part.add(record(0))
    with PartFile(path, request=now, may_differ=("versions",)) as part:
        assert part.keys == {("row0", 0)}
    in_process = pytest.raises(
        ConfigError, match=r"versions\.lit-align is \"1\" there, now \"2\"\n.*what was installed"
    )
    with in_process, PartFile(path, request=now):
        pass
    other = {**now, "generator": {**now["generator"], "model": "n"}}
    with pytest.raises(ConfigError, match="model"), PartFile(path, request=other, may_differ=("versions",)):
        pass
