"""The program for a GPU runs on a CPU, every section in it, and says why one fails."""

import importlib.util
import json
from pathlib import Path
from types import ModuleType

import pytest
import torch

from lit_align.models.packing import Response, Tree, pack

SCRIPT = Path(__file__).resolve().parents[2] / "benchmarks" / "gpu.py"


@pytest.fixture(scope="module")
def gpu() -> ModuleType:
    """The program as a module."""
    spec = importlib.util.spec_from_file_location("benchmark_on_a_gpu", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_section_runs_and_those_that_need_a_gpu_say_so(
    gpu: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    assert gpu.main(["--device", "cpu", "--tiny", "--output", str(tmp_path / "results.json")]) == 0
    results = {r["name"]: r for r in json.loads((tmp_path / "results.json").read_text())["results"]}
    failed = {name: result["failed"] for name, result in results.items() if "failed" in result}
    assert all("Flash" in name or "Flex" in name for name in failed)
    assert all("CUDA device" in reason for reason in failed.values())
    assert results["packed / padded"]["ratio"] > 0
    assert results["float8 rowwise / bf16"]["note"].startswith("losses of 4 steps differ by 0")
    assert (
        results["SFT, 8B width, bf16, compiled"]["losses"][-1] < results["SFT, 8B width, bf16, compiled"]["losses"][0]
    )
    lines = capsys.readouterr().out.splitlines()
    assert sum(line.startswith("|") for line in lines) == len(results) + 2


def test_packed_and_padded_pairs_are_the_same_problem(gpu: ModuleType) -> None:
    run = gpu.Run(device="cpu", tiny=True, seconds=60, steps=1)
    packed, padded = gpu.packed_pairs(run, gpu.Attention)(), gpu.padded_pairs(run)()
    assert packed["losses"] == pytest.approx(padded["losses"], abs=2e-3)  # bfloat16


def test_no_section_begins_when_the_time_is_up(gpu: ModuleType) -> None:
    run = gpu.Run(device="cpu", tiny=True, seconds=-1, steps=1)
    assert run.section("late", lambda: {"ratio": 1.0}) is None
    assert run.results[0]["failed"] == "no time left"


def test_operations_are_counted_by_the_mathematics(gpu: ModuleType) -> None:
    run = gpu.Run(device="cpu", tiny=True, seconds=60, steps=1)
    backbone, _ = gpu.build(run, gpu.ONE_B, attention=gpu.Attention(), compiled=False)
    batch = pack([Tree(prompt=[1, 2], responses=[Response(ids=[3, 4, 5])])])
    layer = 2 * (64 * (64 + 2 * 32) + 64 * 64 + 3 * 64 * 128)
    pairs = 5 * 6 / 2
    assert gpu.flops(backbone, batch) == 3 * (2 * (layer * 5 + 4 * 4 * 16 * pairs) + 2 * 96 * 64 * 3)


def test_without_a_gpu_it_says_how_to_try_it(gpu: ModuleType, capsys: pytest.CaptureFixture) -> None:
    if torch.cuda.is_available():
        pytest.skip("a CUDA device is here")
    assert gpu.main([]) == 4
    assert "--device cpu --tiny" in capsys.readouterr().err
