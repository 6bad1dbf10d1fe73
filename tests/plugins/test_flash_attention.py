"""FlashAttention hands a plan to its kernel as the kernel expects it, and refuses what it cannot run."""

import math

import pytest
import torch
from torch import Tensor

from lit_align.errors import ConfigError
from lit_align.models.attention import Attention
from lit_align.models.batch import AttentionPlan
from lit_align.models.packing import Response, Tree, pack
from lit_align_plugins import FlashAttention

_PLAN = pack(
    [
        Tree(prompt=[1] * 7, responses=[Response(ids=[2] * 3), Response(ids=[3] * 6), Response(ids=[4])]),
        Tree(prompt=[1] * 2, responses=[Response(ids=[2] * 9)]),
    ],
    multiple=16,
).plan


def naive_kernel(
    query: Tensor, key: Tensor, value: Tensor, *, plan: AttentionPlan, scale: float, window: int | None
) -> Tensor:
    """What a variable-length kernel computes, one segment and one head at a time."""
    q_offsets, k_offsets = plan.query_offsets.tolist(), plan.key_offsets.tolist()
    out = torch.empty_like(query)
    for q0, q1, k0, k1 in zip(q_offsets, q_offsets[1:], k_offsets, k_offsets[1:], strict=False):
        last = torch.arange(q1 - q0)[:, None] + (k1 - k0) - (q1 - q0)
        place = torch.arange(k1 - k0)
        seen = (place <= last) & (place > last - (window or k1))
        for head in range(query.shape[1]):
            group = head * key.shape[1] // query.shape[1]
            scores = query[q0:q1, head] @ key[k0:k1, group].T * scale
            out[q0:q1, head] = scores.masked_fill(~seen, -math.inf).softmax(-1) @ value[k0:k1, group]
    return out


@pytest.fixture
def plugin(monkeypatch: pytest.MonkeyPatch) -> FlashAttention:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr("lit_align_plugins.flash_attention._HALF", (torch.float64,))
    attention = FlashAttention()
    attention.kernel = naive_kernel
    return attention


@pytest.mark.parametrize("window", [None, 3])
def test_one_kernel_call_equals_sdpa_segment_by_segment(plugin: FlashAttention, window: int | None) -> None:
    draw = torch.Generator().manual_seed(0)
    tokens = len(_PLAN.segment_ids)
    query = torch.randn(1, 4, tokens, 8, generator=draw, dtype=torch.float64)
    key, value = (torch.randn(1, 2, tokens, 8, generator=draw, dtype=torch.float64) for _ in range(2))
    options = {"plan": _PLAN, "scale": 0.3, "window": window}
    torch.testing.assert_close(plugin(query, key, value, **options), Attention()(query, key, value, **options))


def test_there_is_no_fallback_without_a_gpu() -> None:
    if torch.cuda.is_available():
        pytest.skip("a CUDA device is here")
    with pytest.raises(ConfigError, match="CUDA"):
        FlashAttention()


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    with pytest.raises(ConfigError, match="flash-attn"):
        FlashAttention(kernel="flash_attn")


def test_what_the_kernel_cannot_do_is_refused(plugin: FlashAttention) -> None:
    with pytest.raises(ConfigError, match="heads"):
        plugin.check(dtype=torch.float32, head_dim=20)
    single = torch.zeros(1, 1, len(_PLAN.segment_ids), 8)
    with pytest.raises(ConfigError, match="bf16-mixed"):
        plugin(single, single, single, plan=_PLAN, scale=1.0)
    double = single.double()
    with pytest.raises(ConfigError, match="soft-capping"):
        plugin(double, double, double, plan=_PLAN, scale=1.0, softcap=5.0)


@pytest.mark.gpu
def test_torchs_kernel_equals_sdpa_in_bfloat16() -> None:
    draw = torch.Generator().manual_seed(0)
    tokens = len(_PLAN.segment_ids)
    shape = [(1, heads, tokens, 64) for heads in (4, 2, 2)]
    tensors = [torch.randn(s, generator=draw).cuda().bfloat16().requires_grad_() for s in shape]
    plan = _PLAN.to_device("cuda")
    results = []
    for attention in (FlashAttention(), Attention()):
        out = attention(*tensors, plan=plan, scale=0.125)
        results.append([out, *torch.autograd.grad(out.float().square().sum(), tensors)])
    for fast, exact in zip(*results, strict=True):
        torch.testing.assert_close(fast, exact, rtol=0.05, atol=0.05)
