"""`lit-align data show`: pages through rows in the terminal."""

import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import islice
from typing import IO, TYPE_CHECKING, Any, NoReturn

from lit_align.data.opening import open_source
from lit_align.data.showing import Block, Shown, blocks, holds, kind_of
from lit_align.errors import ConfigError, DataError
from lit_align.html.text import visible

if TYPE_CHECKING:
    from rich.console import Console

_COLOURS = {"user": "bold cyan", "assistant": "bold green", "good": "bold green", "bad": "bold red", "other": "bold"}


def show(
    file: str,
    /,
    *,
    kind: Shown | None = None,
    row: int | None = None,
    search: str | None = None,
    limit: int | None = None,
    split: str = "train",
    pager: bool = True,
) -> None:
    """Pages through rows: conversations, pairs and scores, each with its place.

    On a terminal it opens $PAGER, or less; elsewhere it prints plain text. Rows are read as they are shown, so a large
    file opens at once. Control characters in the data are shown as symbols and never reach the terminal. A row that
    cannot be read as its kind is shown as JSON, with the reason.

    Args:
        file: A .jsonl, .jsonl.gz, .json or .parquet file, a folder of such files, or a hub id.
        kind: What the rows are, or json to see them as they stand; told by the columns of each row unless given.
        row: The number in `file:NUMBER` of the first row to show; without LIMIT the only one.
        search: Show only rows that hold this text, in any case, in any column.
        limit: Most rows to show.
        split: Which part of a folder or hub data set.
        pager: Open a pager on a terminal.
    """
    if limit is not None and limit < 1:
        raise ConfigError(f"limit must be at least 1, got {limit}")
    most = 1 if row is not None and limit is None else limit
    found = islice(_rows(file, split=split, first=row, search=search), most)
    number = 0
    with _console(use_pager=pager) as console:
        for place, value in found:
            number += 1
            _print(console, place, value, kind=kind, search=search)
    if not number:
        what = f" that holds {visible(search)!r}" if search else ""
        raise DataError(f"{file}: no row{what}" + (f" from number {row} on" if row is not None else ""))


def _rows(
    file: str, *, split: str, first: int | None, search: str | None
) -> Iterator[tuple[str, dict[str, Any] | DataError]]:
    needle = search.casefold() if search else None
    for place, value, _ in open_source(file, split=split).rows:
        if first is not None and int(place.rpartition(":")[2].removeprefix("row ")) < first:
            continue
        if needle is None or (isinstance(value, dict) and holds(value, needle)):
            yield place, value


@contextmanager
def _console(*, use_pager: bool) -> Iterator["Console"]:
    """A console that prints into a pager on a terminal, and plainly elsewhere."""
    from rich.console import Console

    command = _pager() if use_pager and sys.stdout.isatty() else None
    if command is None:
        yield Console(markup=False, highlight=False, emoji=False)
        return
    process = subprocess.Popen(command, stdin=subprocess.PIPE, text=True, encoding="utf-8")
    pipe = process.stdin
    assert pipe is not None
    try:
        with suppress(BrokenPipeError):  # the reader has seen enough
            yield _console_of(pipe)
    finally:
        with suppress(BrokenPipeError):
            pipe.close()
        _wait(process)


def _console_of(pipe: IO[str]) -> "Console":
    from rich.console import Console

    class Piped(Console):
        def on_broken_pipe(self) -> NoReturn:  # that of rich ends the process
            raise BrokenPipeError

    width = shutil.get_terminal_size().columns
    return Piped(file=pipe, force_terminal=True, width=width, markup=False, highlight=False, emoji=False)


def _pager() -> list[str] | None:
    given = os.environ.get("PAGER")
    if given:
        command = shlex.split(given)
        return command if command and shutil.which(command[0]) else None
    return ["less", "-RF"] if shutil.which("less") else None


def _wait(process: subprocess.Popen[str]) -> None:
    while True:
        try:
            process.wait()
            return
        except KeyboardInterrupt:  # Ctrl-C is the pager's
            continue


def _print(
    console: "Console", place: str, value: dict[str, Any] | DataError, *, kind: Shown | None, search: str | None
) -> None:
    from rich.rule import Rule
    from rich.text import Text

    if isinstance(value, DataError):
        console.print(Text(visible(str(value)), style="bold red"), soft_wrap=True)
        return
    name = kind or kind_of(value, place=place)
    identity = f"  {value['id']}" if isinstance(value.get("id"), str | int) else ""
    title = visible(f"{place}  {name}{identity}")
    if console.is_terminal:
        console.print(Rule(Text(title), align="left", style="dim"))
    else:
        console.print(f"== {title}", soft_wrap=True)
    for block in blocks(value, place=place, kind=kind):
        _print_block(console, block, search)
    console.print()


def _print_block(console: "Console", block: Block, search: str | None) -> None:
    from rich.padding import Padding
    from rich.text import Text

    head = Text(visible(block.title), style=_COLOURS[block.role])
    for note in block.notes:
        head.append(f"  {visible(note)}", style="dim")
    body = Text(visible(block.body))
    if search:
        body.highlight_words([search], style="reverse", case_sensitive=False)
    console.print(head, soft_wrap=True)
    if console.is_terminal:
        console.print(Padding(body, (0, 0, 0, 2)))
    else:
        console.print(Text("  ") + Text("\n  ").join(body.split("\n", allow_blank=True)), soft_wrap=True)
