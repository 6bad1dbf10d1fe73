"""Executes an attention plan with torch's FlexAttention, compiled for the GPU it runs on; needs no package."""

import functools
from collections.abc import Callable, Collection
from typing import Any, cast, final, no_type_check

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.attention.flex_attention import BlockMask, flex_attention

from lit_align.announce import announce
from lit_align.errors import ConfigError
from lit_align.models.attention import Attention, Demand
from lit_align.models.batch import AttentionPlan

_BLOCK = 128
_SMALLEST_HEAD = 16
_PAIRS_AT_ONCE = 2**24  # of a query and a key, while the mask is cut into blocks: what a large batch takes in memory


@final
class FlexAttention(Attention):
    """Attention whose mask is a function of two tokens; blocks that nobody sees are not computed.

    Keys are not copied: a response sees the tokens of its prompt where they are. Which blocks there are is found once a
    batch. The first batches compile for a minute or two.

    Raises:
        ConfigError: There is no CUDA device: on a CPU FlexAttention has no backward pass.
    """

    def __init__(self) -> None:
        super().__init__()
        if not torch.cuda.is_available():
            raise ConfigError(
                "FlexAttention needs a CUDA device: on a CPU it has no backward pass\n"
                "Leave `attention` out: the default runs on any device."
            )
        self._attend: Callable[..., Any] = torch.compile(
            # One variant for all shapes; past the limit of recompilations an error rather than all scores in memory.
            flex_attention,
            dynamic=True,
            fullgraph=True,
        )
        announce(f"attention: FlexAttention of torch {torch.__version__}, compiled")

    def check(self, demands: Collection[Demand]) -> None:
        """Refuses dropout, and heads too small for its kernels."""
        for demand in demands:
            if demand.dropout:
                raise ConfigError("FlexAttention has no dropout of attention weights\nSay dropout: 0 in the backbone.")
            if min(demand.head_dim, demand.value_dim) < _SMALLEST_HEAD:
                raise ConfigError(
                    f"FlexAttention takes heads of at least {_SMALLEST_HEAD}, this model's have {demand.head_dim}\n"
                    "Leave `attention` out: the default takes any."
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
        if dropout:
            raise ConfigError("FlexAttention has no dropout of attention weights\nSay dropout: 0 in the backbone.")
        out = self._attend(
            query,
            key,
            value,
            score_mod=None if softcap is None else _softcapping(softcap),
            block_mask=_mask(plan, window),
            scale=scale,
            enable_gqa=query.shape[1] != key.shape[1],
        )
        return cast("Tensor", out).transpose(1, 2)


@functools.cache
def _softcapping(softcap: float) -> Callable[..., Tensor]:
    """One function a value, so that it is compiled once."""

    @no_type_check  # traced by torch, which counts its arguments
    def capped(score: Tensor, batch: Tensor, head: Tensor, query: Tensor, key: Tensor) -> Tensor:
        return softcap * torch.tanh(score / softcap)

    return capped


def _mask(plan: AttentionPlan, window: int | None) -> BlockMask:
    name = f"flex/{window}"
    if name not in plan.cache:
        plan.cache[name] = _block_mask(_visible(plan, window), len(plan.segment_ids), plan.segment_ids.device)
    return plan.cache[name]


def _visible(plan: AttentionPlan, window: int | None) -> Callable[..., Tensor]:
    """Whether a query sees a key, both given as tokens of the row.

    A segment sees the tokens before it that it shares, its prompt, and of itself those up to the query.
    """
    segments = plan.segment_ids
    num_queries, num_keys = plan.query_offsets.diff(), plan.key_offsets.diff()
    # Per token, of its segment: where that begins, and the shared tokens it sees, which stand in one piece.
    begin = plan.query_offsets[segments]
    shared_begin = plan.key_index[plan.key_offsets[segments].long()]
    num_shared = (num_keys - num_queries)[segments]

    @no_type_check  # as above
    def visible(batch: Tensor, head: Tensor, query: Tensor, key: Tensor) -> Tensor:
        own = (segments[query] == segments[key]) & (key <= query)
        shared = (key >= shared_begin[query]) & (key < shared_begin[query] + num_shared[query])
        seen = own | shared
        if window is not None:
            # Places count from the first token that the segment sees.
            query_place = query - begin[query] + num_shared[query]
            key_place = torch.where(own, key - begin[query] + num_shared[query], key - shared_begin[query])
            seen = seen & (query_place - key_place < window)
        return seen

    return visible


def _block_mask(visible: Callable[..., Tensor], length: int, device: torch.device) -> BlockMask:
    """Cuts a mask into blocks that are seen in part, as a whole, or not at all.

    `create_block_mask` holds all pairs of tokens at once, in several copies: gigabytes for 16k tokens.
    """
    blocks = -(-length // _BLOCK)
    key = torch.arange(blocks * _BLOCK, device=device)
    inside = key < length
    counts = []
    for rows in key.split(max(1, _PAIRS_AT_ONCE // (blocks * _BLOCK * _BLOCK)) * _BLOCK):
        # What is beyond the end is no token: it repeats the last one and counts as unseen.
        last = length - 1
        zero = torch.zeros((), dtype=torch.long, device=device)
        seen = visible(zero, zero, rows.clamp(max=last)[:, None], key.clamp(max=last)[None])
        seen = seen & inside[rows][:, None] & inside[None]
        counts.append(seen.unflatten(0, (-1, _BLOCK)).unflatten(2, (-1, _BLOCK)).sum((1, 3)))
    count = torch.cat(counts)
    whole = count == _BLOCK * _BLOCK
    part = (count > 0) & ~whole
    return BlockMask.from_kv_blocks(
        *_listed(part), *_listed(whole), BLOCK_SIZE=_BLOCK, mask_mod=visible, seq_lengths=(length, length)
    )


def _listed(blocks: Tensor) -> tuple[Tensor, Tensor]:
    """How many blocks of each row are set, and all of them, the set ones first, as FlexAttention wants them."""
    order = blocks.int().argsort(dim=1, descending=True, stable=True)
    return blocks.sum(1, dtype=torch.int32)[None, None], order.int()[None, None]
