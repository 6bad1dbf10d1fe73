"""Executes an attention plan with one variable-length FlashAttention call on a GPU."""

import inspect
from collections.abc import Callable
from importlib import metadata
from typing import Any, Literal, cast, final

import torch
from jaxtyping import Float
from torch import Tensor

from lit_align.announce import announce
from lit_align.errors import ConfigError
from lit_align.models.attention import Attention
from lit_align.models.batch import AttentionPlan

Kernel = Callable[..., Tensor]
_HALF = (torch.float16, torch.bfloat16)
_LARGEST_HEAD = 256
_OLDEST = (8, 0)


@final
class FlashAttention(Attention):
    """One call for all segments: a response sees its prompt's keys and its own, causal from the bottom right.

    Args:
        kernel: `torch` takes the FlashAttention that comes with torch (`torch.nn.attention.varlen`), `flash_attn` the
            package of that name. Which one runs is said; none replaces another.

    The kernels work in bfloat16 or float16: leave the weights in float32 and say `--trainer.precision bf16-mixed`.

    Raises:
        ConfigError: There is no CUDA device, it is too old, or the kernel is not installed.
    """

    def __init__(self, kernel: Literal["torch", "flash_attn"] = "torch") -> None:
        super().__init__()
        _require_device()
        self.kernel: Kernel = _torch_kernel() if kernel == "torch" else _package_kernel()
        announce(f"attention: {_name(kernel)}, one variable-length call a layer")

    def check(self, *, dtype: torch.dtype, head_dim: int) -> None:
        """Refuses head sizes that no kernel has. The dtype is that of the weights: autocast may change it later."""
        if head_dim > _LARGEST_HEAD or head_dim % 8:
            raise ConfigError(
                f"FlashAttention takes heads of up to {_LARGEST_HEAD} in steps of 8, this model's have {head_dim}"
            )

    def forward(
        self,
        query: Float[Tensor, "1 heads token dim"],
        key: Float[Tensor, "1 groups token dim"],
        value: Float[Tensor, "1 groups token dim"],
        *,
        plan: AttentionPlan,
        scale: float,
        window: int | None = None,
        softcap: float | None = None,
        dropout: float = 0.0,
    ) -> Float[Tensor, "1 token heads dim"]:
        """Attends every query to the keys its segment sees."""
        if query.dtype not in _HALF:
            raise ConfigError(
                f"FlashAttention computes in bfloat16 or float16, got {query.dtype}\nUse --trainer.precision bf16-mixed"
            )
        if softcap is not None or dropout:
            raise ConfigError("FlashAttention has neither soft-capping nor dropout here; leave `attention` out")
        queries, keys, values = (x[0].transpose(0, 1).contiguous() for x in (query, key, value))
        if plan.key_index.numel() != keys.shape[0]:  # else every segment sees itself alone, and nothing is shared
            keys, values = (x.index_select(0, plan.key_index) for x in (keys, values))
        return self.kernel(queries, keys, values, plan=plan, scale=scale, window=window).unsqueeze(0)


def _require_device() -> None:
    if not torch.cuda.is_available():
        raise ConfigError("FlashAttention needs a CUDA device\nLeave `attention` out: the default runs on any device.")
    capability = torch.cuda.get_device_capability()
    if capability < _OLDEST:
        raise ConfigError(
            f"FlashAttention needs compute capability {_OLDEST[0]}.{_OLDEST[1]}, {torch.cuda.get_device_name()} has "
            f"{capability[0]}.{capability[1]}\nLeave `attention` out: the default runs on any device."
        )


def _name(kernel: str) -> str:
    if kernel != "torch":
        return f"FlashAttention of flash-attn {metadata.version('flash-attn')}"
    current = getattr(torch.nn.attention, "current_flash_attention_impl", lambda: None)()  # since torch 2.12
    return f"FlashAttention of torch {torch.__version__}" + (f" ({current})" if current else "")


def _torch_kernel() -> Kernel:
    """`torch.nn.attention.varlen`, whose arguments moved between releases."""
    try:
        from torch.nn.attention.varlen import varlen_attn
    except ImportError as error:
        raise ConfigError("this torch has no torch.nn.attention.varlen\nInstall torch >= 2.11.") from error
    known = inspect.signature(varlen_attn).parameters

    def attend(
        query: Tensor, key: Tensor, value: Tensor, *, plan: AttentionPlan, scale: float, window: int | None
    ) -> Tensor:
        # Nothing to the right of the last key that a query sees: causal, from the bottom right.
        options: dict[str, Any] = {"scale": scale, "window_size": (-1 if window is None else window - 1, 0)}
        if query.shape[1] != key.shape[1]:
            if "enable_gqa" in known:
                options["enable_gqa"] = True
            else:
                repeats = query.shape[1] // key.shape[1]
                key, value = key.repeat_interleave(repeats, 1), value.repeat_interleave(repeats, 1)
        offsets = (plan.query_offsets, plan.key_offsets, plan.max_queries, plan.max_keys)
        return cast("Tensor", varlen_attn(query, key, value, *offsets, **options))

    return attend


def _package_kernel() -> Kernel:
    """The package `flash-attn`, found by its distribution: the import name is shared with flash-attn-4."""
    try:
        metadata.version("flash-attn")
        from flash_attn import flash_attn_varlen_func  # pyright: ignore[reportMissingImports]  # not on every machine
    except (metadata.PackageNotFoundError, ImportError) as error:
        raise ConfigError("the package flash-attn is not installed\npip install 'lit-align[flash]'") from error

    def attend(
        query: Tensor, key: Tensor, value: Tensor, *, plan: AttentionPlan, scale: float, window: int | None
    ) -> Tensor:
        offsets = (plan.query_offsets, plan.key_offsets, plan.max_queries, plan.max_keys)
        span = (-1, -1) if window is None else (window - 1, 0)
        return flash_attn_varlen_func(query, key, value, *offsets, softmax_scale=scale, causal=True, window_size=span)

    return attend
