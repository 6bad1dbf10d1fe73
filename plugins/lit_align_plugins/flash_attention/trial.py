"""Runs a kernel once, forward and backward, and compares it with the default attention."""

import dataclasses
from collections.abc import Callable

import torch
from torch import Tensor

from lit_align.models.attention import Attention, Demand
from lit_align.models.batch import AttentionPlan
from lit_align.models.packing import Response, Tree, pack
from lit_align_plugins.flash_attention.kernels import Attend

# Relative difference of the norms. Rounding to 16 bits is about 0.01; wrong attention is about 1.
_LIMIT = 0.05


def fault(attend: Attend, demand: Demand, *, device: str, dtype: torch.dtype) -> str | None:
    """What goes wrong with a kernel on a batch with shared prompts; None where it computes what the default does.

    A package may be installed and not run (built for another torch or device), and a kernel may have a wrong gradient.
    """
    # Wherever it is called: the first forward pass may be one without gradients, and autocast changes dtypes.
    with torch.inference_mode(False), torch.enable_grad(), torch.autocast(device, enabled=False):
        return _compare(attend, demand, device, dtype)


def _compare(attend: Attend, demand: Demand, device: str, dtype: torch.dtype) -> str | None:
    plan = _plan().to_device(device)
    if demand.window is not None:
        demand = dataclasses.replace(demand, window=min(demand.window, 50))  # or no segment here is as long as it
    draw = torch.Generator().manual_seed(0)
    shapes = [(1, heads, len(plan.segment_ids), demand.head_dim) for heads in (4, 2, 2, 4)]
    *tensors, weights = (torch.randn(shape, generator=draw).to(device, dtype) for shape in shapes)
    try:
        got = _run(lambda *x: call(attend, *x, plan=plan, scale=demand.head_dim**-0.5, demand=demand), tensors, weights)
    except Exception as error:  # packages have classes of their own, such as those of FlashAttention 4's compiler
        return f"{type(error).__name__}: {str(error).strip().splitlines()[0][:200] if str(error) else 'no message'}"
    exact = _run(
        lambda *x: Attention()(
            *x, plan=plan, scale=demand.head_dim**-0.5, window=demand.window, softcap=demand.softcap
        ),
        [x.float() for x in tensors],
        weights.float(),
    )
    for name, ours, theirs in zip(("output", "gradient of queries", "of keys", "of values"), got, exact, strict=True):
        difference = float((ours.to(theirs) - theirs).norm() / theirs.norm())
        if not difference <= _LIMIT:
            return f"its {name} differs by {difference:.2g} of its norm from scaled_dot_product_attention"
    return None


def call(
    attend: Attend, query: Tensor, key: Tensor, value: Tensor, *, plan: AttentionPlan, scale: float, demand: Demand
) -> Tensor:
    """Calls a kernel with `[1 heads token dim]` tensors, as layers have them."""
    queries, keys, values = (x[0].transpose(0, 1).contiguous() for x in (query, key, value))
    if plan.key_index.numel() != keys.shape[0]:  # else every segment sees itself alone, and nothing is shared
        keys, values = (x.index_select(0, plan.key_index) for x in (keys, values))
    return attend(queries, keys, values, plan=plan, scale=scale, demand=demand).unsqueeze(0)


def _run(function: Callable[..., Tensor], tensors: list[Tensor], weights: Tensor) -> list[Tensor]:
    leaves = [x.detach().requires_grad_() for x in tensors]
    out = function(*leaves)
    return [out.detach(), *torch.autograd.grad((out * weights.transpose(1, 2)).sum(), leaves)]


def _plan() -> AttentionPlan:
    """Segments shorter and longer than the tiles of kernels, which have 64 to 128 tokens."""
    trees = [
        Tree(prompt=[1] * 150, responses=[Response(ids=[1] * 40), Response(ids=[1] * 140)]),
        Tree(prompt=[1] * 20, responses=[Response(ids=[1] * 13)]),
    ]
    return pack(trees, multiple=16).plan
