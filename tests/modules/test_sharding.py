"""What FSDP2 is told of a backbone; that it computes the same is seen in test_sharded."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
from lightning.pytorch.strategies import model_parallel
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh

from lit_align.errors import ResourceError
from lit_align.modules.memory import nbytes
from lit_align.modules.sharding import FSDP2, shard, sharding


@pytest.fixture(autouse=True)
def own_environment() -> Iterator[None]:
    """Lightning's launcher writes ranks and addresses into it, which processes of other tests would inherit."""
    before = dict(os.environ)
    yield
    os.environ.clear()
    os.environ.update(before)


@pytest.fixture
def mesh() -> Iterator[DeviceMesh]:
    dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    yield init_device_mesh("cpu", (1,))
    dist.destroy_process_group()


@pytest.mark.parametrize("layer_dtype", [None, torch.bfloat16])
def test_layers_alone_travel_in_their_dtype(
    make_module: Callable, make_data: Callable, toy: dict[str, str], mesh: DeviceMesh, layer_dtype: torch.dtype | None
) -> None:
    module, data = make_module("SFT"), make_data("SFT", tokenizer=toy["tokenizer"])
    module.configure_model()
    data.setup("fit")
    backbone, seen = module.trained, {}
    names = {"q_proj": "layers.0.self_attn.q_proj", "embedding": "embed_tokens", "norm": "layers.0.input_layernorm"}
    for short, name in names.items():
        layer = next(m for full, m in backbone.named_modules() if full.endswith(name))
        layer.register_forward_hook(
            lambda layer, _, output, short=short: seen.update({short: (layer.weight.dtype, output.dtype)})
        )
    shard(backbone, mesh=mesh, layer_dtype=layer_dtype)
    with torch.autocast("cpu", torch.bfloat16):
        backbone.logprobs(next(iter(data.train_dataloader()))).sum().backward()
    dtype = layer_dtype or torch.float32
    assert seen["q_proj"] == (dtype, torch.bfloat16)
    assert seen["embedding"] == (torch.float32, torch.float32)
    assert seen["norm"] == (dtype, torch.float32)
    layer: Any = next(module for module in backbone.modules() if type(module).__name__.endswith("DecoderLayer"))
    group = layer._get_fsdp_state()._fsdp_param_groups[0]
    assert group._reduce_dtype == (layer_dtype and torch.float32)  # what gradients are summed in


@pytest.mark.parametrize(("precision", "dtype"), [("32-true", None), ("bf16-mixed", torch.bfloat16)])
def test_the_precision_of_the_run_says_in_what_layers_travel(
    make_trainer: Callable, mesh: DeviceMesh, precision: str, dtype: torch.dtype | None
) -> None:
    trainer = make_trainer(strategy=FSDP2(), devices=1, precision=precision)
    trainer.strategy._device_mesh = init_device_mesh("cpu", (1, 1), mesh_dim_names=("data_parallel", "tensor_parallel"))
    chosen: Any = sharding(trainer)
    assert chosen.keywords["layer_dtype"] == dtype


def test_sharded_weights_are_counted_in_bytes(make_module: Callable, mesh: DeviceMesh) -> None:
    module = make_module("SFT")
    module.configure_model()
    whole = nbytes(module.parameters())
    shard(module.trained, mesh=mesh)
    assert nbytes(module.parameters()) == whole  # there is one device


def test_a_checkpoint_stays_whole_until_the_next_one_is(
    make_module: Callable, make_data: Callable, make_trainer: Callable, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def fail(_: Any, folder: Path) -> None:
        (folder / "half.distcp").write_text("")
        raise OSError("the disk is full")

    def content() -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in checkpoint.iterdir()}

    trainer, checkpoint = make_trainer(max_steps=1, strategy="fsdp2", devices=1), tmp_path / "last.ckpt"
    try:
        trainer.fit(make_module("SFT"), datamodule=make_data("SFT"))
        checkpoint.write_text("one file, of another strategy")
        trainer.save_checkpoint(checkpoint)
        whole = content()
        assert {".metadata", "meta.pt"} < set(whole)
        with monkeypatch.context() as context:
            context.setattr(model_parallel, "_distributed_checkpoint_save", fail)
            with pytest.raises(ResourceError, match="the disk is full"):
                trainer.save_checkpoint(checkpoint)
        assert content() == whole
        trainer.save_checkpoint(checkpoint)
        assert content().keys() == whole.keys()
        assert [path.name for path in tmp_path.glob(".last*")] == []
    finally:
        if dist.is_initialized():
            dist.destroy_process_group()
