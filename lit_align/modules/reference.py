"""Reference log-probabilities: computed once before training, kept on disk under what they depend on."""

import os
from collections.abc import Sequence
from pathlib import Path

import torch
from lightning.pytorch import Trainer
from lightning.pytorch.strategies import ModelParallelStrategy
from safetensors.torch import load_file, save
from torch import Tensor

from lit_align.announce import announce
from lit_align.data.dataset import PackedDataset
from lit_align.data.kinds import PreferenceData
from lit_align.data.steps import MicroBatch, by_tokens
from lit_align.files import atomic_write, sha256_of_json
from lit_align.models.backbone import Backbone
from lit_align.modules.sharding import shard
from lit_align.progress import progress

_ROWS_PER_PART = 512  # what a killed run computes again, at most, on each rank


def add_reference_logprobs(
    data: PreferenceData, reference: Backbone, trainer: Trainer, *, cache_dir: str | None
) -> None:
    """Gives every dataset of `data` its column of reference log-probabilities, in nats per token, float32.

    The column is kept on disk, keyed by the reference's weights, the precision and attention that compute it, and the
    tokens of all rows; a new reference or changed row is another key. The reference is built only where a part is
    missing, and freed before the policy is built.
    """
    root = _cache_root(cache_dir)
    for split, dataset in data.datasets.items():
        if dataset.reference is not None or not len(dataset):
            continue
        folder = root / _key(reference, dataset, trainer)[:32]
        parts = _parts(len(dataset))
        missing = [part for part in parts if not _path(folder, part).exists()]
        announce(
            f"reference log-probabilities of {split}: {reference.tokenizer_source} "
            f"(sha256 {reference.fingerprint()[:16]}), {'cached in' if not missing else 'computing into'} {folder}"
        )
        if missing:
            _compute(missing, dataset, reference, trainer, folder, data.evaluation_tokens)
        trainer.strategy.barrier("reference log-probabilities")
        dataset.reference = [row for part in parts for row in _read(folder, part, dataset)]


def _compute(
    parts: Sequence[range],
    dataset: PackedDataset,
    reference: Backbone,
    trainer: Trainer,
    folder: Path,
    max_tokens: int,
) -> None:
    strategy = trainer.strategy
    sharded = isinstance(strategy, ModelParallelStrategy)
    reference.configure_model(
        convert=trainer.precision_plugin.convert_module,
        shard=(lambda module: shard(module, strategy.device_mesh)) if sharded else None,
    )
    reference.to(strategy.root_device)
    # Sharded weights take every rank through every forward pass; otherwise ranks divide the parts.
    mine = list(parts) if sharded else list(parts)[trainer.global_rank :: trainer.world_size]
    with progress("reference log-probabilities", total=sum(len(part) for part in mine), unit="rows") as advance:
        for part in mine:
            values = _logprobs_of_rows(part, dataset, reference, trainer, max_tokens)
            if not sharded or trainer.is_global_zero:
                _write(folder, part, values)
            advance(len(part))
    reference.to("cpu")


@torch.no_grad()
def _logprobs_of_rows(
    part: range, dataset: PackedDataset, reference: Backbone, trainer: Trainer, max_tokens: int
) -> Tensor:
    values = []
    for rows in by_tokens([dataset.lengths[row] for row in part], max_tokens=max_tokens):
        micro = MicroBatch(rows=tuple(part[row] for row in rows), denominators={})
        batch = dataset[micro].to_device(trainer.strategy.root_device)
        with trainer.precision_plugin.forward_context():
            values.append(reference.logprobs(batch).float().cpu())
    return torch.cat(values)


def _key(reference: Backbone, dataset: PackedDataset, trainer: Trainer) -> str:
    plugin = trainer.precision_plugin
    return sha256_of_json(
        {
            "reference": reference.fingerprint(),
            "backbone": {**reference.describe(), "pretrained": None, "tokenizer": None},
            "attention": type(getattr(reference, "attention", None)).__name__,
            "precision": [type(plugin).__name__, str(plugin.precision)],
            "rows": dataset.fingerprint(),
        }
    )


def _cache_root(cache_dir: str | None) -> Path:
    root = cache_dir or os.environ.get("LIT_ALIGN_CACHE") or Path.home() / ".cache" / "lit-align"
    return Path(root) / "reference"


def _parts(number: int) -> list[range]:
    return [range(start, min(start + _ROWS_PER_PART, number)) for start in range(0, number, _ROWS_PER_PART)]


def _path(folder: Path, part: range) -> Path:
    return folder / f"rows-{part.start:09d}.safetensors"


def _write(folder: Path, part: range, values: Tensor) -> None:
    with atomic_write(_path(folder, part), "wb") as file:
        file.write(save({"logprobs": values}))


def _read(folder: Path, part: range, dataset: PackedDataset) -> list[Tensor]:
    values = load_file(_path(folder, part))["logprobs"]
    return list(values.split([int(dataset.counts[row]["tokens"]) for row in part]))
