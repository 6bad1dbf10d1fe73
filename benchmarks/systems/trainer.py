"""lit-align as a user runs it: `lit-align fit` with its data module, Lightning Trainer, loggers and clipping."""

import json
import sys
from pathlib import Path
from typing import Any

from benchmarks.gate import gate
from benchmarks.spec import BETA, ETA, LEARNING_RATE, Spec

_MODULES = {"sft": "SFT", "reward": "BradleyTerry", "dpo": "DPO", "rpo": "RPO"}


def main(spec: Spec) -> None:
    """Trains until told to stop.

    Options `reference_logprobs`: see `PolicyModule`; `compile_layers`: see `HFBackbone`.
    """
    gate()
    import torch

    import lit_align.cli.lightning

    torch.set_num_threads(spec.threads)
    gate().imported()
    config = Path(spec.scratch) / "fit.yaml"
    config.write_text(json.dumps(_config(spec)))  # JSON is YAML
    lit_align.cli.lightning.main(["fit", "--config", str(config)])


def _config(spec: Spec) -> dict[str, Any]:
    return {
        "model": {"class_path": f"lit_align.{_MODULES[spec.task]}", "init_args": _model(spec)},
        "data": {
            "class_path": f"lit_align.{'SFTData' if spec.task == 'sft' else 'PreferenceData'}",
            "init_args": {
                "train": spec.rows,
                "max_length": spec.max_length,
                "global_batch_size": spec.batch_size,
                "shuffle": False,
            },
        },
        "trainer": {
            "max_epochs": 1000,
            "accelerator": "cpu",
            "default_root_dir": f"{spec.scratch}/run",
            "callbacks": [{"class_path": "benchmarks.systems.at_gate.AtGate"}],
        },
        "tracking_uri": f"sqlite:///{spec.scratch}/mlflow.db",
    }


def _model(spec: Spec) -> dict[str, Any]:
    folder = "reward" if spec.task == "reward" else "causal"
    network = {"pretrained": f"{spec.weights}/{folder}", "compile_layers": spec.options.get("compile_layers", False)}
    backbone = {"class_path": "lit_align.HFBackbone", "init_args": network}
    optimizer = {"class_path": "torch.optim.AdamW", "init_args": {"lr": LEARNING_RATE, "weight_decay": 0.0}}
    common = {"optimizer": optimizer, "schedule": {"shape": "constant", "warmup_steps": 0}}
    if spec.task == "reward":
        return {"backbone": backbone, **common}
    model: dict[str, Any] = {"policy": backbone, **common}
    if spec.task in ("dpo", "rpo"):
        reference = spec.options.get("reference_logprobs", "online")
        model |= {"beta": BETA, "reference_logprobs": reference, "cache_dir": f"{spec.scratch}/cache"}
    return model | {"eta": ETA} if spec.task == "rpo" else model


if __name__ == "__main__":
    main(Spec.from_json(sys.argv[1]))
