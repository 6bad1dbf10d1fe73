"""Floating-point operations: what the mathematics needs, and what was executed."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode, sdpa_backward_flop_count, sdpa_flop_count

BACKWARD = 2  # a backward pass is two products for each one of the forward pass


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """The widths of a Llama-like decoder."""

    hidden: int
    inner: int
    layers: int
    heads: int
    groups: int
    head_dim: int
    vocabulary: int

    @staticmethod
    def of(config: Any) -> "Sizes":
        """Of a transformers configuration."""
        head_dim = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
        return Sizes(
            hidden=config.hidden_size,
            inner=config.intermediate_size,
            layers=config.num_hidden_layers,
            heads=config.num_attention_heads,
            groups=config.num_key_value_heads,
            head_dim=head_dim,
            vocabulary=config.vocab_size,
        )

    def forward(self, *, tokens: int, pairs: int, targets: int) -> int:
        """Operations of a forward pass, two for each multiplication; only matrix products count.

        Args:
            tokens: That pass the layers.
            pairs: Of a query and a key that it sees.
            targets: Hidden states that are projected on the vocabulary.

        >>> one = Sizes(hidden=2, inner=3, layers=1, heads=1, groups=1, head_dim=2, vocabulary=5)
        >>> one.forward(tokens=1, pairs=1, targets=1) == 2 * (4 * 2 * 2 + 3 * 2 * 3) + 4 * 2 + 2 * 2 * 5
        True
        """
        attention = 2 * self.hidden * self.head_dim * 2 * (self.heads + self.groups)
        layer = tokens * (attention + 2 * self.hidden * 3 * self.inner) + pairs * 4 * self.heads * self.head_dim
        return self.layers * layer + targets * 2 * self.hidden * self.vocabulary


def needed(sizes: Sizes, batch: Any, *, projected: bool, reference: bool) -> int:
    """What a training step on a packed batch needs: every prompt once, no padding, nothing computed again.

    Args:
        sizes: Of the model.
        batch: A `PackedBatch`.
        projected: Whether supervised positions are projected on the vocabulary.
        reference: Whether a frozen model reads the batch too.
    """
    queries, keys = batch.plan.query_offsets.diff(), batch.plan.key_offsets.diff()
    # The last query of a segment sees all its keys, the one before it all but one, and so on.
    pairs = int((queries * keys - queries * (queries - 1) // 2).sum())
    targets = batch.target_ids.numel() if projected else 0
    forward = sizes.forward(tokens=batch.input_ids.numel(), pairs=pairs, targets=targets)
    return forward * (1 + BACKWARD + reference)


def counted(step: Callable[[], float]) -> tuple[float, int]:
    """What a step returns, and the operations of matrix products that torch executed in it.

    Attention counts in full, whether or not a kernel skips what is masked.
    """
    aten = torch.ops.aten
    uncounted = {
        aten.addmm_: _added_product,
        aten._scaled_dot_product_flash_attention_for_cpu: _attention,
        aten._scaled_dot_product_flash_attention_for_cpu_backward: _attention_backward,
    }
    with FlopCounterMode(display=False, custom_mapping=uncounted) as counter:
        value = step()
    return value, counter.get_total_flops()


def _added_product(total: Any, one: Any, other: Any, **kwargs: Any) -> int:
    return 2 * one[0] * one[1] * other[1]


def _attention(query: Any, key: Any, value: Any, *args: Any, **kwargs: Any) -> int:
    return sdpa_flop_count(query, key, value)


def _attention_backward(gradient: Any, query: Any, key: Any, value: Any, *args: Any, **kwargs: Any) -> int:
    return sdpa_backward_flop_count(gradient, query, key, value)
