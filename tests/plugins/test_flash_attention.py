"""FlashAttention hands a plan to its kernel as the kernel expects it, and refuses what it cannot run."""

import math
import sys
from types import ModuleType

import pytest
import torch

from lit_align.errors import ConfigError
from lit_align.models.attention import Attention
from lit_align.models.packing import Response, Tree, pack
from lit_align_plugins import FlashAttention

_PLAN = pack(
    [
        Tree(prompt=[1] * 7, responses=[Response(ids=[2] * 3), Response(ids=[3] * 6), Response(ids=[4])]),
        Tree(prompt=[1] * 2, responses=[Response(ids=[2] * 9)]),
    ],
    multiple=16,
).plan


_NO_SHARING = pack([Tree(prompt=[1] * n, responses=[Response(ids=[2] * 3)]) for n in (4, 1, 6)]).plan


def naive(query, key, value, cu_seq_q, cu_seq_k, max_q, max_k, *, scale, window_size):
    """What the kernels compute by their documentation, one segment and one head at a time.

    `window_size` is how far a query sees to the left and to the right of the key that stands where it stands, counted
    from the bottom right; -1 is without limit.
    """
    assert cu_seq_q.dtype == cu_seq_k.dtype == torch.int32
    assert (max_q, max_k) == (int(cu_seq_q.diff().max()), int(cu_seq_k.diff().max()))
    assert query.shape[1] == key.shape[1]
    left, right = window_size
    outputs = []
    for q0, q1, k0, k1 in zip(*(x.tolist() for x in (cu_seq_q, cu_seq_q[1:], cu_seq_k, cu_seq_k[1:])), strict=False):
        own = torch.arange(q1 - q0)[:, None] + (k1 - k0) - (q1 - q0)
        place = torch.arange(k1 - k0)
        seen = (place >= own - (k1 if left < 0 else left)) & (place <= own + (k1 if right < 0 else right))
        scores = torch.einsum("qhd,khd->hqk", query[q0:q1], key[k0:k1]) * scale
        weights = scores.masked_fill(~seen, -math.inf).softmax(-1)
        outputs.append(torch.einsum("hqk,khd->qhd", weights, value[k0:k1]))
    return torch.cat(outputs)


def repeated(query, *tensors):
    return [x.repeat_interleave(query.shape[1] // x.shape[1], 1) for x in tensors]


def new_varlen(query, key, value, *offsets, scale=None, window_size=(-1, -1), enable_gqa=False):
    assert enable_gqa or query.shape[1] == key.shape[1]
    return naive(query, *repeated(query, key, value), *offsets, scale=scale, window_size=window_size)


def older_varlen(query, key, value, *offsets, scale=None, window_size=(-1, -1)):
    """Before torch had `enable_gqa` here."""
    return naive(query, key, value, *offsets, scale=scale, window_size=window_size)


def package_varlen(
    query, key, value, *offsets, dropout_p=0.0, softmax_scale=None, causal=False, window_size=(-1, -1), softcap=0.0
):
    """As in flash-attn 2: causal closes the right side of whatever window there is, and groups are repeated."""
    assert causal
    assert not dropout_p
    assert not softcap
    window_size = (window_size[0], 0)
    return naive(query, *repeated(query, key, value), *offsets, scale=softmax_scale, window_size=window_size)


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that seems to have one, and tests in float64."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda: (9, 0))
    monkeypatch.setattr("lit_align_plugins.flash_attention._HALF", (torch.float64,))


@pytest.fixture(params=["torch", "older torch", "flash_attn"])
def plugin(request: pytest.FixtureRequest, gpu: None, monkeypatch: pytest.MonkeyPatch) -> FlashAttention:
    """The plugin on each kernel it may find."""
    if request.param == "flash_attn":
        package = ModuleType("flash_attn")
        package.flash_attn_varlen_func = package_varlen
        monkeypatch.setitem(sys.modules, "flash_attn", package)
        monkeypatch.setattr("lit_align_plugins.flash_attention.metadata.version", lambda name: "2.8.3")
        return FlashAttention(kernel="flash_attn")
    kernel = new_varlen if request.param == "torch" else older_varlen
    monkeypatch.setattr("torch.nn.attention.varlen.varlen_attn", kernel)
    return FlashAttention()


@pytest.mark.parametrize("plan", [_PLAN, _NO_SHARING], ids=["trees", "rows"])
@pytest.mark.parametrize("window", [None, 3])
def test_one_kernel_call_equals_sdpa_segment_by_segment(plugin, plan, window):
    draw = torch.Generator().manual_seed(0)
    shapes = [(1, heads, len(plan.segment_ids), 8) for heads in (4, 2, 2)]
    tensors = [torch.randn(shape, generator=draw, dtype=torch.float64).requires_grad_() for shape in shapes]
    results = []
    for attention in (plugin, Attention()):
        out = attention(*tensors, plan=plan, scale=0.3, window=window)
        results.append([out, *torch.autograd.grad(out.square().sum(), tensors)])
    for fast, exact in zip(*results, strict=True):
        torch.testing.assert_close(fast, exact)


def test_the_kernel_that_runs_is_said(gpu, capsys):
    FlashAttention()
    assert f"FlashAttention of torch {torch.__version__}" in capsys.readouterr().err


def test_a_device_that_is_too_old_is_refused(gpu, monkeypatch):
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda: (7, 5))
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "Tesla T4")
    with pytest.raises(ConfigError, match=r"compute capability 8\.0, Tesla T4 has 7\.5"):
        FlashAttention()


def test_there_is_no_fallback_without_a_gpu():
    if torch.cuda.is_available():
        pytest.skip("a CUDA device is here")
    with pytest.raises(ConfigError, match="CUDA"):
        FlashAttention()


def test_a_missing_package_is_named(gpu):
    with pytest.raises(ConfigError, match="flash-attn"):
        FlashAttention(kernel="flash_attn")


def test_what_the_kernel_cannot_do_is_refused(plugin):
    with pytest.raises(ConfigError, match="heads"):
        plugin.check(dtype=torch.float32, head_dim=20)
    single = torch.zeros(1, 1, len(_PLAN.segment_ids), 8)
    with pytest.raises(ConfigError, match="bf16-mixed"):
        plugin(single, single, single, plan=_PLAN, scale=1.0)
    double = single.double()
    for option in ({"softcap": 5.0}, {"dropout": 0.1}):
        with pytest.raises(ConfigError, match="soft-capping"):
            plugin(double, double, double, plan=_PLAN, scale=1.0, **option)


@pytest.mark.gpu
def test_torchs_kernel_equals_sdpa_in_bfloat16():
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
