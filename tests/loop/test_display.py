"""What a run shows on a terminal and in a file."""

import io
import json

import pytest
from dummy_stages import Write
from rich.console import Console

from lit_align.loop import Artifact
from lit_align.loop.display import LineDisplay, LiveDisplay, last_line, make_display, seconds, tail
from lit_align.loop.plan import Node


@pytest.fixture
def node(tmp_path):
    artifact = Artifact(fingerprint="f", path=tmp_path / "write-f", title="sft")
    return Node(number=3, title="sft", iteration=1, stage=Write(text="a"), artifact=artifact, waits_for=())


def live(text, **options):
    console = Console(file=text, force_terminal=True, width=80)
    return LiveDisplay(total=25, verbose=False, console=console, **options)


def test_durations_are_said_as_people_say_them():
    assert [seconds(value) for value in (0.04, 59.9, 60.2, 3599.9, 3600)] == [
        "0.0 s",
        "59.9 s",
        "1 min 00 s",
        "1 h 00 min",
        "1 h 00 min",
    ]


def test_a_line_is_printed_for_a_finished_stage_with_its_results(node, tmp_path, capsys):
    with LineDisplay(total=25, verbose=False) as display:
        display.cached(node)
        display.started(node, tmp_path)
        display.done(node, {"results": {"length": 0.123456}})
        display.started(node, tmp_path)
        display.ended(node, "failed after")
    assert capsys.readouterr().out.splitlines() == [
        "[ 3/25] sft (iteration 1) ... cached",
        "[ 3/25] sft (iteration 1) ... done in 0.0 s  length=0.1235",
        "[ 3/25] sft (iteration 1) ... failed after 0.0 s",
    ]


def test_a_long_stage_says_now_and_then_how_far_it_is(node, tmp_path, capsys, monkeypatch):
    display = LineDisplay(total=25, verbose=False)
    display.started(node, tmp_path)
    display.tick()
    assert capsys.readouterr().out == ""
    monkeypatch.setattr("lit_align.loop.display._LINE_EVERY_SECONDS", 0.0)
    (tmp_path / "progress.json").write_text(json.dumps([30, 120]))
    display.tick()
    assert capsys.readouterr().out.startswith("[ 3/25] sft (iteration 1) ... 0.0 s  30/120, ETA 0.0 s")
    (tmp_path / "progress.json").unlink()
    (tmp_path / "log.txt").write_text("loading\nscoring: 12/40 rows\n\n")
    display.tick()
    assert capsys.readouterr().out.endswith("scoring: 12/40 rows\n")


def test_a_terminal_shows_the_running_stages_below_the_finished_ones(node, tmp_path):
    text = io.StringIO()
    with live(text) as display:
        display.cached(node)
        display.started(node, tmp_path)
        (tmp_path / "log.txt").write_text("[bold]tokenising[/bold]\rtokenising \x1b]0;title\x07 9/10")
        display.tick()
    assert "sft (iteration 1) ... cached" in text.getvalue()
    assert "9/10" in text.getvalue()
    assert "\x1b]0;" not in text.getvalue()


def test_without_a_terminal_there_are_lines(monkeypatch):
    monkeypatch.setenv("TERM", "dumb")
    assert isinstance(make_display(total=1, verbose=False), LineDisplay)


def test_the_end_of_a_log_is_read_without_the_rest(tmp_path):
    log = tmp_path / "log.txt"
    assert (last_line(log), tail(log, lines=2)) == ("", [])
    log.write_text("first\n" + "x" * 10_000 + "\nlast but one\nlast \n")
    assert last_line(log) == "last"
    assert tail(log, lines=2) == ["last but one", "last "]
