"""FSDP2 on two processes computes, saves and resumes what one process does."""

import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

from lit_align.tracking import read_metrics

pytestmark = pytest.mark.slow

SCRIPT = Path(__file__).with_name("sharded.py")
QUESTIONS = ["instruction_following", "verbosity", "truthfulness", "harmlessness"]
CASES = {
    "sft": {"objective": "SFT"},
    "lora": {"objective": "SFT", "backbone": {"lora": {"rank": 4}, "gradient_checkpointing": True}},
    "tied": {"objective": "SFT", "config": {"tie_word_embeddings": True}},
    "frozen_output_head": {"objective": "RewardRegression", "options": {"inner_size": 8}},
    "trained_output_head": {"objective": "RewardRegression", "options": {"lm_weight": 0.3, "logprob_features": True}},
    "reference": {"objective": "DPO", "options": {"beta": 0.5, "sft_weight": 0.1}},
    "online": {"objective": "DPO", "options": {"beta": 0.5, "reference_logprobs": "online"}},
    "adapters_off": {
        "objective": "DPO",
        "backbone": {"lora": {"rank": 4}},
        "options": {"beta": 0.5, "reference_logprobs": "online"},
    },
    "grading": {"objective": "SoftLabelBradleyTerry", "rows": {"attributes": QUESTIONS}},
    "one_file": {"objective": "RewardRegression", "strategy": {"save_distributed_checkpoint": False}},
}
MIXED = {"mixed": {"objective": "SFT", "precision": "bf16-mixed"}}
FILES = {"SFT": "sft", "RewardRegression": "ratings", "DPO": "pairs", "SoftLabelBradleyTerry": "pairs"}


@pytest.fixture(scope="module")
def cases(toy: dict[str, str]) -> dict[str, Any]:
    config = json.loads((Path(toy["cache"]).parent / "llama.json").read_text())
    return {
        name: {
            **case,
            "data": toy[FILES[case["objective"]]],
            "backbone": {
                "config": {**config, **case.get("config", {})},
                "tokenizer": toy["tokenizer"],
                **case.get("backbone", {}),
            },
        }
        for name, case in {**CASES, **MIXED}.items()
    }


@pytest.fixture(scope="module")
def two_processes(cases: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder where all cases were trained, in one launch: imports are what takes time."""
    folder = tmp_path_factory.mktemp("sharded")
    command = [sys.executable, str(SCRIPT), json.dumps(cases), str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stderr[-4000:]
    return folder


def metrics(folder: Path) -> dict[tuple[str, int], float]:
    return {(name, step): value for name, step, value in read_metrics(folder / "metrics.jsonl")}


def fit_alone(case: dict[str, Any], folder: Path) -> None:
    spec = importlib.util.spec_from_file_location("sharded", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    script.fit(case, folder, max_steps=6)


@pytest.mark.parametrize("name", CASES)
def test_two_processes_with_sharded_weights_equal_one(
    name: str, cases: dict[str, Any], two_processes: Path, tmp_path: Path
) -> None:
    fit_alone(cases[name], tmp_path)
    expected, weights = metrics(tmp_path), load_file(tmp_path / "model" / "model.safetensors")
    for part in ("whole", "parts"):
        folder = two_processes / name / part
        assert metrics(folder) == pytest.approx(expected, rel=1e-4, abs=1e-5, nan_ok=True)
        got = load_file(folder / "model" / "model.safetensors")
        assert got.keys() == weights.keys()
        for key, value in weights.items():
            assert float((got[key] - value).abs().max()) < 2e-5, key
        assert {path.name for path in (folder / "model").iterdir()} == {
            path.name for path in (tmp_path / "model").iterdir()
        }
        AutoModelForCausalLM.from_pretrained(folder / "model")


def test_mixed_precision_differs_by_its_rounding_alone(
    cases: dict[str, Any], two_processes: Path, tmp_path: Path
) -> None:
    fit_alone(cases["mixed"], tmp_path)
    expected = metrics(tmp_path)
    for part in ("whole", "parts"):
        got = metrics(two_processes / "mixed" / part)
        assert got == pytest.approx(expected, rel=0.03, abs=1e-3, nan_ok=True)
        assert got["train/loss", 1] == pytest.approx(expected["train/loss", 1], rel=1e-3)
