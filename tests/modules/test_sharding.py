"""What FSDP2 is told of a backbone; that it computes the same is seen in test_sharded."""

from collections.abc import Callable, Iterator

import pytest
import torch
import torch.distributed as dist
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh

from lit_align.modules.sharding import shard


@pytest.fixture
def mesh() -> Iterator[DeviceMesh]:
    dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    yield init_device_mesh("cpu", (1,))
    dist.destroy_process_group()


@pytest.mark.parametrize("layer_dtype", [None, torch.bfloat16])
def test_layers_alone_travel_in_their_dtype_and_gradients_are_float32(
    make_module: Callable, make_data: Callable, mesh: DeviceMesh, layer_dtype: torch.dtype | None
) -> None:
    module, data = make_module("SFT"), make_data("SFT")
    module.configure_model()
    data.setup("fit")
    backbone, seen = module.backbone, {}
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
    assert {parameter.grad.dtype for parameter in backbone.parameters() if parameter.grad is not None} == {torch.float32}
