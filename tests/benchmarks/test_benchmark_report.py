import json
import xml.etree.ElementTree as ElementTree

import pytest

from benchmarks.options import parse
from benchmarks.report import page, tables
from benchmarks.report.goals import goals
from benchmarks.report.numbers import loss_difference, ratio, utilisation
from benchmarks.report.plots import plots


def _system(seconds, *, loss=0.7, memory=1e9, **more):
    steps = [
        {"seconds": s, "cpu_seconds": s, "loss": loss, "memory": memory, **{k: v[i] for k, v in more.items()}}
        for i, s in enumerate(seconds)
    ]
    return {"facts": {"parameters": 10, "versions": {"trl": "1.16.0"}}, "imported": 4e8, "steps": steps}


@pytest.fixture
def results():
    machine = {
        "processor": "a processor",
        "cores": 2,
        "threads": 2,
        "memory": 2**33,
        "system": "Linux",
        "python": "3.11",
        "versions": {"torch": "2"},
        "commit": "abc",
        "date": "2026-01-01",
        "model": "22m",
        "rows": "drawn",
        "quick": False,
    }
    flops = {"flops": [5e9, 6e9, 6e9], "executed": [7e9, 0, 0]}
    systems = {
        "matmul": _system([0.1] * 3, flops_per_second=[9e9, 10e9, 8e9]),
        "lit-align": _system([9, 1.0, 2.0], memory=2e9),
        "bare step": _system([9, 1.0, 1.0], **flops),
        "padded loop": _system([9, 3.0, 6.0], memory=3e9, executed=[20e9, 0, 0], loss=0.7000001),
        "TRL": _system([9, 10.0]),
    }
    points = [
        {"value": v, "systems": {"bare step": _system([1, v]), "padded loop": _system([1, 3 * v])}} for v in (1, 4)
    ]
    return {
        "dpo": {"systems": systems, "tokens": {}, "batch_size": 8, "machine": machine},
        "sweeps": {"curves": {"ratio": {"axis": "ratio", "points": points}}, "machine": machine},
    }


def test_systems_are_compared_on_the_same_rows(results):
    assert ratio(results, "dpo", "padded loop", "lit-align").middle == 3.0  # 3/1 and 6/2
    assert ratio(results, "dpo", "TRL", "lit-align").middle == 10.0  # it took one step only
    assert ratio(results, "dpo", "nobody", "lit-align") is None
    assert utilisation(results, "dpo", "lit-align", counted="bare step") == pytest.approx((0.6 + 0.375) / 2)
    assert loss_difference(results, "dpo", "lit-align", "padded loop") == pytest.approx(1e-7)


def test_goals_say_met_not_met_or_not_measured(results):
    lines = {line.split(" | ")[0].strip("| "): line for line in tables.goal_table(results).splitlines()[2:]}
    assert len(lines) == len(list(goals()))
    assert "| ≥ 8.0x | 10.0x | met |" in lines["DPO: speed against TRL as released"]
    assert "| ≤ 0.50 | 0.67 | **not met** |" in lines["DPO: peak memory, as a share of the padded loop's"]
    assert "not measured" in lines["SFT: speed against TRL as released"]


def test_a_training_table_has_every_system_but_the_floor(results):
    lines = tables.training("dpo")(results).splitlines()
    assert [line.split(" | ")[0] for line in lines[2:]] == ["| lit-align", "| bare step", "| padded loop", "| TRL"]
    assert "3.00x as fast" in lines[4]
    assert "a processor" in tables.machine(results)
    assert "| dpo | 5 GFLOP | 2 GFLOP | 7 GFLOP | 20 GFLOP | 4.0x |" in tables.operations(results)


def test_steps_without_avx512_have_a_table_and_goals_of_their_own(results):
    assert tables.avx2(results) == tables.NOT_MEASURED
    results["avx2"] = {"tasks": {"dpo": results["dpo"]}}
    assert "| dpo | 9 GFLOP/s, 8 to 10 over the rounds | 6.00 (5.00 to 7.00) | 49% | 68% |" in tables.avx2(results)
    assert "| DPO: the same without AVX-512 | ≥ 55% | 49% | **not met** |" in tables.goal_table(results)


def test_plots_are_well_formed(results):
    drawn = dict(plots(results))
    assert set(drawn) == {"dpo.svg", "sweep-ratio.svg"}
    for content in drawn.values():
        ElementTree.fromstring(content)


def test_a_page_is_written_with_its_plots_and_numbers(results, tmp_path):
    written = page.write(results, tmp_path).read_text()
    assert "![dpo](assets/performance/dpo.svg)" in written
    assert "![sft]" not in written
    assert tables.NOT_MEASURED in written
    assert json.loads((tmp_path / "assets/performance/results.json").read_text()) == results
    assert page.rendered(written, results) == written


def test_the_committed_page_has_the_committed_numbers():
    text = page.PAGE.read_text(encoding="utf-8")
    assert page.rendered(text, page.committed()) == text  # else: python -m benchmarks --render
    assert {name for name in page.BLOCKS if f"<!-- measured: {name} -->" not in text} == set()


def test_the_folder_of_a_run_depends_on_what_is_measured_not_on_how_much_of_it():
    one, _ = parse(["--only", "dpo"])
    other, _ = parse(["--only", "sft"])
    larger, _ = parse(["--model", "60m"])
    assert one.key("abc") == other.key("abc") != larger.key("abc")
    assert one.key("abc") != one.key("def")
