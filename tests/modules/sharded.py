"""Trains each case with FSDP2 on two gloo processes, whole and in two parts; started by test_sharded."""

import json
import sys
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Trainer, seed_everything
from torch.optim import AdamW

import lit_align
from lit_align.modules.callbacks import SaveModel
from lit_align.modules.memory import nbytes
from lit_align.modules.sharding import FSDP2
from lit_align.tracking import JsonlLogger
from lit_align_plugins import Float8


def fit(case: dict[str, Any], folder: Path, *, ckpt_path: Path | None = None, **settings: Any) -> None:
    """Trains a case and leaves metrics, a model folder and a checkpoint."""
    objective, described = case["objective"], dict(case["backbone"])
    lora = lit_align.LoRA(**described.pop("lora")) if "lora" in described else None
    cache = {"cache_dir": str(folder / "cache")} if objective == "DPO" else {}
    kind = getattr(lit_align, objective)
    module = kind(
        lit_align.HFBackbone(**described, lora=lora),
        optimizer=lambda params: AdamW(params, lr=1e-2),
        **case.get("options", {}),
        **cache,
    )
    rows = {**case.get("rows", {}), "validation_fraction": 0.2}
    data = kind.data_class(case["data"], global_batch_size=8, seed=1, **rows)
    plugins = [Float8(**case["float8"])] if "float8" in case else []
    trainer = Trainer(
        default_root_dir=folder,
        plugins=plugins,
        logger=JsonlLogger(folder),
        callbacks=[lit_align.MemoryEstimate(), SaveModel(folder / "model", checkpoint=folder / "last.ckpt")],
        log_every_n_steps=1,
        num_sanity_val_steps=0,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
        gradient_clip_val=1.0,
        precision=case.get("precision"),
        accelerator="cpu",
        **settings,
    )
    trainer.fit(module, datamodule=data, ckpt_path=ckpt_path)
    whole = sum(weight.numel() * weight.element_size() for weight in module.parameters())  # of a shard, of all of it
    assert nbytes(module.parameters()) <= whole / trainer.world_size + 4096


def main() -> None:
    torch.set_num_threads(1)
    seed_everything(0, verbose=False)
    for name, case in json.loads(sys.argv[1]).items():
        folder = Path(sys.argv[2]) / name
        for part, steps in (("whole", 6), ("parts", 3), ("parts", 6)):
            last = folder / part / "last.ckpt"
            fit(
                case,
                folder / part,
                strategy=FSDP2(**case["strategy"]) if "strategy" in case else "fsdp2",
                devices=2,
                max_steps=steps,
                accumulate_grad_batches=2,
                ckpt_path=last if last.exists() else None,
            )
            torch.distributed.barrier()


if __name__ == "__main__":
    main()
