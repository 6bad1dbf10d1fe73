"""The file beside an output that holds what is finished, from which a killed run continues."""

import errno
import json
import sys
from collections.abc import Collection, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, final

from lit_align.errors import ConfigError, ResourceError
from lit_align.generation.output import first_difference

_NO_SPACE = (errno.ENOSPC, errno.EDQUOT)
Key = tuple[str, int]


@final
class PartFile:
    """Records of samples, appended one line each as they are finished; use it in a `with` statement.

    The first line is the request that the records answer. A line that a crash has torn is cut off, and whatever
    follows it; of several records of a sample the first counts. A lock keeps a second process out.

    Args:
        path: The file; continued where it exists.
        request: What the records answer, as JSON.
        may_differ: Of the request's `generator`: what the records of an earlier process may have had otherwise.
        replace: Whether records of another request are given up.

    Raises:
        ConfigError: The file holds records of another request, or another process writes it.
    """

    def __init__(
        self, path: Path, *, request: Mapping[str, Any], may_differ: Collection[str] = (), replace: bool = False
    ) -> None:
        self.path = path
        self._request = json.loads(json.dumps(request))
        self._may_differ = may_differ
        self._replace = replace
        self._offsets: dict[Key, int] = {}
        self._end = 0

    def __enter__(self) -> "PartFile":
        with ExitStack() as stack:
            with no_space(self.path):
                self.path.parent.mkdir(parents=True, exist_ok=True)
                # Unbuffered: what has been added survives the process.
                self._writer = stack.enter_context(self.path.open("ab", buffering=0))
            _lock(self._writer.fileno(), self.path)
            self._reader = stack.enter_context(self.path.open("rb"))
            self._recover()
            self._open = stack.pop_all()
        return self

    def __exit__(self, *exception: object) -> None:
        self._open.close()

    @property
    def keys(self) -> frozenset[Key]:
        """Which samples are there: the prompt's id and the sample's index."""
        return frozenset(self._offsets)

    def add(self, record: Mapping[str, Any]) -> bool:
        """Appends the record of the sample that its `id` and `sample` name; returns whether it is new."""
        key = (record["id"], record["sample"])
        if key in self._offsets:
            return False
        self._offsets[key] = self._append(record)
        return True

    def record(self, key: Key) -> dict[str, Any]:
        """The record of a sample."""
        self._reader.seek(self._offsets[key])
        return json.loads(self._reader.readline())

    def _append(self, value: Mapping[str, Any]) -> int:
        """Writes a line and returns where it begins."""
        start = self._end
        line = json.dumps(value, ensure_ascii=False, allow_nan=False).encode() + b"\n"
        with no_space(self.path):
            while line:  # a write can be cut short where the disk fills up
                written = self._writer.write(line)
                self._end += written
                line = line[written:]
        return start

    def _recover(self) -> None:
        """Reads what is there, cuts off what is torn, and writes the first line where there is none."""
        lines = [*self._whole_lines()]
        if lines and (changed := self._changed_since(lines[0][1])):
            if len(lines) > 1 and not self._replace:
                raise ConfigError(
                    f"{self.path} holds responses to another request: {changed}\n"
                    "Repeat that request, with what was installed then, to finish it. "
                    "To start anew give --overwrite, or in a loop remove the file."
                )
            self._end, lines = 0, []
        self._writer.truncate(self._end)
        if not lines:
            self._append(self._request)
        for start, record in lines[1:]:
            self._offsets.setdefault((record["id"], record["sample"]), start)

    def _changed_since(self, request: Mapping[str, Any]) -> str | None:
        """How what is asked differs from the request of the records."""
        return first_difference(self._decisive(request), self._decisive(self._request))

    def _decisive(self, request: Mapping[str, Any]) -> dict[str, Any]:
        generator = request.get("generator")
        if not isinstance(generator, Mapping):
            return dict(request)
        return {**request, "generator": {k: value for k, value in generator.items() if k not in self._may_differ}}

    def _whole_lines(self) -> Iterator[tuple[int, dict[str, Any]]]:
        """The offset and value of each line up to the first one that is torn; moves the end behind them."""
        for line in self._reader:
            try:
                value = json.loads(line) if line.endswith(b"\n") else None
            except ValueError:
                value = None
            if not isinstance(value, dict):
                return
            yield self._end, value
            self._end += len(line)


@contextmanager
def no_space(path: Path) -> Iterator[None]:
    """Turns a full disk into a ResourceError."""
    try:
        yield
    except OSError as error:
        if error.errno not in _NO_SPACE:
            raise
        raise ResourceError(
            f"no space left on the disk of {path}\nFree some and repeat the command: it continues with what is saved."
        ) from error


def _lock(handle: int, path: Path) -> None:
    if sys.platform == "win32":
        return
    import fcntl

    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise ConfigError(f"another process writes {path}: wait for it, or choose another --output") from error
