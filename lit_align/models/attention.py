"""The attention seam: executes an `AttentionPlan`; the base class does it with torch's SDPA on any device."""

import functools
import math
from collections.abc import Collection
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.masking_utils import flash_attention_mask

from lit_align.errors import ConfigError
from lit_align.models.batch import AttentionPlan
from lit_align.models.buckets import schedule

IMPLEMENTATION = "lit_align"
"""The name under which transformers finds `planned_attention`."""

# Some decoder layers (Nemotron, StableLM) drop the arguments they do not know on the way to their attention, but hand
# on `position_ids`: the plan rides on that tensor under this name. A hook could not do it: recomputation under
# gradient checkpointing runs no hooks, and would see the plan of another batch.
CARRIED = "lit_align_plan"


_CUDA_KERNELS = [SDPBackend.FLASH_ATTENTION, SDPBackend.EFFICIENT_ATTENTION, SDPBackend.MATH]


@dataclass(frozen=True, kw_only=True)
class Demand:
    """What a layer asks of its attention.

    Attributes:
        head_dim: Size of a head's queries and keys.
        value_dim: Size of its values.
        window: Sliding window in tokens; None where there is none.
        softcap: Cap of the scores; None where there is none.
        dropout: Probability of dropping an attention weight in training.
    """

    head_dim: int
    value_dim: int
    window: int | None = None
    softcap: float | None = None
    dropout: float = 0.0


class Attention(nn.Module):
    """Scaled dot-product attention over the segments of a plan, exact on every device and dtype.

    Segments of similar size share one padded call of `torch.nn.functional.scaled_dot_product_attention`.
    A plugin overrides `forward` (and the checks) and is chosen by its class path.
    """

    def check(self, demands: Collection[Demand]) -> None:
        """Raises `ConfigError` where this implementation cannot do what layers ask; called when a model is built."""

    def check_dtype(self, dtype: torch.dtype) -> None:
        """Raises `ConfigError` where it cannot compute in this dtype; called when the precision of a run is known."""

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
        """Attends every query to the keys its segment sees.

        Args:
            query: Queries, rotary positions applied.
            key: Keys; grouped-query attention where there are fewer of them than heads.
            value: Values.
            plan: Who attends to whom.
            scale: Factor of the scores.
            window: Sliding window in tokens: a query sees that many keys, itself included.
            softcap: Scores become `softcap * tanh(score / softcap)`.
            dropout: Probability of dropping an attention weight.
        """
        calls = schedule(plan, heads=query.shape[1], dim=query.shape[-1], window=window)
        attend = _attend if softcap is None else functools.partial(_attend_softcapped, softcap=softcap)
        outputs = [
            attend(*inputs, mask=bucket.mask, scale=scale, dropout=dropout)
            for bucket, *inputs in zip(calls.buckets, *calls.gather(query, key, value), strict=True)
        ]
        packed = torch.cat([out.transpose(1, 2).flatten(0, 1) for out in outputs])
        return packed.index_select(0, calls.restore).unsqueeze(0)


class _Watched(Attention):
    """The default, which notes what the layers of a model ask of it."""

    def __init__(self) -> None:
        super().__init__()
        self.demands: set[Demand] = set()

    def forward(self, query: Tensor, key: Tensor, value: Tensor, **options: Any) -> Tensor:  # type: ignore[override]
        """Attends as the default does."""
        window, softcap = options.get("window"), options.get("softcap")
        self.demands.add(Demand(head_dim=query.shape[-1], value_dim=value.shape[-1], window=window, softcap=softcap))
        return super().forward(query, key, value, **options)


def watched() -> tuple[Attention, set[Demand]]:
    """The default attention, and a set that fills with what the layers of a model ask of it."""
    attention = _Watched()
    return attention, attention.demands


def _attend(query: Tensor, key: Tensor, value: Tensor, *, mask: Tensor | None, scale: float, dropout: float) -> Tensor:
    groups = query.shape[1] // key.shape[1]
    if mask is not None and groups > 1 and query.device.type == "cuda":
        # With a mask and shared heads no fused kernel of CUDA runs, and all scores would be held.
        key, value, groups = key.repeat_interleave(groups, 1), value.repeat_interleave(groups, 1), 1
    with _kernels(query.device.type):
        return F.scaled_dot_product_attention(
            query,
            key,
            value,
            attn_mask=mask,
            is_causal=mask is None,
            scale=scale,
            enable_gqa=groups > 1,
            dropout_p=dropout,
        )


def _kernels(device: str) -> AbstractContextManager[Any]:
    # cuDNN's builds a graph for every new shape, and every batch has new ones.
    return nullcontext() if device != "cuda" else sdpa_kernel(_CUDA_KERNELS)


def _attend_softcapped(
    query: Tensor, key: Tensor, value: Tensor, *, mask: Tensor | None, scale: float, softcap: float, dropout: float
) -> Tensor:
    # SDPA has no soft-cap, so the scores are made here, in float32 like transformers' eager attention.
    repeats = query.shape[1] // key.shape[1]
    key, value = key.repeat_interleave(repeats, 1), value.repeat_interleave(repeats, 1)
    scores = softcap * torch.tanh(query @ key.transpose(2, 3) * (scale / softcap))
    if mask is None:
        mask = torch.ones(scores.shape[2:], dtype=torch.bool, device=scores.device).tril()
    weights = scores.masked_fill(~mask, -math.inf).softmax(-1, dtype=torch.float32).to(value.dtype)
    return F.dropout(weights, dropout) @ value


@torch.compiler.disable  # calls and shapes follow from the plan, which is another one in every batch
def planned_attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    *,
    scaling: float | None = None,
    dropout: float = 0.0,
    sliding_window: int | None = None,
    softcap: float | None = None,
    attention_plan: AttentionPlan | None = None,
    attention: Attention | None = None,
    **kwargs: Any,
) -> tuple[Tensor, None]:
    """The function transformers calls in every attention layer of a model built here.

    Raises:
        ConfigError: Without a plan, or with a mask, attention sinks or a position bias, which no plan expresses.
    """
    if attention_plan is None:
        attention_plan, attention = getattr(kwargs.get("position_ids"), CARRIED, (None, None))
    unknown = [name for name in ("s_aux", "position_bias", "head_mask") if kwargs.get(name) is not None]
    if attention_plan is None or attention is None or attention_mask is not None or unknown:
        what = unknown or ("a mask" if attention_mask is not None else "no attention plan")
        raise ConfigError(f"{type(module).__name__}: cannot attend by a plan: got {what}")
    scale = query.shape[-1] ** -0.5 if scaling is None else scaling
    plan, device = attention_plan, query.device.type
    if torch.is_autocast_enabled(device) and query.dtype != torch.float64:
        # Rotary positions make float32 of queries and keys; kernels want all three in what autocast computes in.
        dtype = torch.get_autocast_dtype(device)
        query, key, value = query.to(dtype), key.to(dtype), value.to(dtype)
    out = attention(query, key, value, plan=plan, scale=scale, window=sliding_window, softcap=softcap, dropout=dropout)
    return out, None


AttentionInterface.register(IMPLEMENTATION, planned_attention)
# Without a mask function of its own an implementation silently gets no mask at all; this one hands over a
# two-dimensional mask unless it is all ones, and `planned_attention` refuses it.
AttentionMaskInterface.register(IMPLEMENTATION, flash_attention_mask)
