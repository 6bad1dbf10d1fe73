"""Segments of a plan in buckets: similar sizes padded to one, so that one call of SDPA serves many."""

from dataclasses import dataclass

import torch
from torch import Tensor

from lit_align.models.batch import AttentionPlan

# Padding a few short segments into one call costs less than another call as long as it wastes fewer flops than this.
_WASTED_FLOPS_WORTH_A_CALL = 2**23
_WASTED_FLOPS_WORTH_A_CALL_ON_CPU = 2**21


@dataclass(frozen=True)
class _Bucket:
    """Segments padded to one size: their queries and keys as indices of tokens, and who sees whom."""

    query_index: Tensor
    key_index: Tensor
    num_segments: int
    mask: Tensor | None  # None: plain causal, which padding at the end cannot disturb

    def to_device(self, device: torch.device) -> "_Bucket":
        mask = None if self.mask is None else self.mask.to(device)
        return _Bucket(self.query_index, self.key_index, self.num_segments, mask)


@dataclass(frozen=True)
class Schedule:
    """The calls that execute a plan."""

    buckets: list[_Bucket]
    query_index: Tensor  # those of all buckets, one after another
    key_index: Tensor
    restore: Tensor  # per token, its place in the concatenated outputs of the buckets

    def to_device(self, device: torch.device) -> "Schedule":
        """The same calls on a device; what a bucket says of sizes stays on the host."""
        buckets = [bucket.to_device(device) for bucket in self.buckets]
        return Schedule(buckets, self.query_index.to(device), self.key_index.to(device), self.restore.to(device))

    def gather(self, query: Tensor, key: Tensor, value: Tensor) -> list[list[Tensor]]:
        """Queries, keys and values of each bucket as `[segment heads token dim]`."""
        query_sizes = [bucket.query_index.numel() for bucket in self.buckets]
        key_sizes = [bucket.key_index.numel() for bucket in self.buckets]
        # All buckets at once: the backward pass of each index_select fills and adds a tensor as large as its input.
        return [
            [
                part.unflatten(0, (bucket.num_segments, -1)).transpose(1, 2)
                for bucket, part in zip(
                    self.buckets, x[0].transpose(0, 1).index_select(0, index).split(sizes), strict=True
                )
            ]
            for x, index, sizes in (
                (query, self.query_index, query_sizes),
                (key, self.key_index, key_sizes),
                (value, self.key_index, key_sizes),
            )
        ]


def schedule(plan: AttentionPlan, *, heads: int, dim: int, window: int | None) -> Schedule:
    """The calls that execute a plan; derived once and kept with it, as every layer needs the same."""
    name = f"sdpa/{heads}/{dim}/{window}"
    if name not in plan.cache:
        on_cpu = plan.segment_ids.device.type == "cpu"
        flops = _WASTED_FLOPS_WORTH_A_CALL_ON_CPU if on_cpu else _WASTED_FLOPS_WORTH_A_CALL
        # Made on the host and moved once: sizes of buckets read off a GPU would stop it again and again.
        made = _make_schedule(plan.to_device("cpu"), waste=flops // (4 * heads * dim), window=window)
        plan.cache[name] = made.to_device(plan.segment_ids.device)
    return plan.cache[name]


def _make_schedule(plan: AttentionPlan, *, waste: int, window: int | None) -> Schedule:
    num_queries, num_keys = plan.query_offsets.diff(), plan.key_offsets.diff()
    restore = torch.empty_like(plan.segment_ids)
    buckets, base = [], 0
    for members in _group(num_queries.tolist(), num_keys.tolist(), waste):
        bucket, place, tokens = _make_bucket(plan, members, num_queries[members], num_keys[members], window)
        restore[tokens] = base + place
        base += bucket.query_index.numel()
        buckets.append(bucket)
    query_index = torch.cat([bucket.query_index for bucket in buckets])
    key_index = torch.cat([bucket.key_index for bucket in buckets])
    return Schedule(buckets, query_index, key_index, restore)


def _group(num_queries: list[int], num_keys: list[int], waste: int) -> list[list[int]]:
    """Puts segments of similar size together while padding wastes fewer scores than `waste`."""
    order = sorted((s for s in range(len(num_queries)) if num_queries[s]), key=lambda s: (num_keys[s], num_queries[s]))
    groups: list[list[int]] = []
    used = largest = 0
    for segment in reversed(order):
        queries, keys = num_queries[segment], num_keys[segment]
        if groups:
            largest = max(largest, queries)
            used += queries * keys
            padded = (len(groups[-1]) + 1) * largest * num_keys[groups[-1][0]]
            if padded - used <= waste:
                groups[-1].append(segment)
                continue
        groups.append([segment])
        used, largest = queries * keys, queries
    return groups


def _make_bucket(
    plan: AttentionPlan, members: list[int], num_queries: Tensor, num_keys: Tensor, window: int | None
) -> tuple[_Bucket, Tensor, Tensor]:
    num_queries, num_keys = num_queries[:, None], num_keys[:, None]
    query_place, key_place = torch.arange(int(num_queries.max())), torch.arange(int(num_keys.max()))
    # Padding repeats the last token of its segment: it sees real keys, so nothing becomes NaN, and nobody reads it.
    inner = query_place.minimum(num_queries - 1)
    query_index = plan.query_offsets[members][:, None] + inner
    key_index = plan.key_index[plan.key_offsets[members][:, None] + key_place.minimum(num_keys - 1)]
    alone = bool((num_queries == num_keys).all())
    mask = None
    if not alone or window is not None:
        last_seen = (inner + num_keys - num_queries)[:, :, None]
        mask = key_place <= last_seen
        if window is not None:
            mask &= key_place > last_seen - window
        mask = mask[:, None]
    bucket = _Bucket(query_index.flatten(), key_index.flatten(), len(members), mask)
    real = (query_place < num_queries).flatten()
    return bucket, real.nonzero()[:, 0], bucket.query_index[real]
