"""What a forward pass reads: one flat row of tokens and the plan of who attends to whom."""

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor

from lit_align.losses.numerics import counted


class _Tensors:
    """A dataclass of tensors: gives it the `pin_memory` that torch's data loader looks for.

    Lightning moves such a batch by itself, field by field; `to_device` does it outside a Trainer.
    """

    def pin_memory(self) -> Any:
        """The same batch in page-locked memory."""
        return self._map(lambda value: value.pin_memory())

    def to_device(self, device: torch.device | str) -> Any:
        """The same batch on a device."""
        return self._map(lambda value: value.to_device(device) if isinstance(value, _Tensors) else value.to(device))

    def _map(self, change: Callable[[Any], Any]) -> Any:
        fields = {f.name: getattr(self, f.name) for f in dataclasses.fields(self) if f.init}  # type: ignore[arg-type]
        tensors = {name: change(value) for name, value in fields.items() if isinstance(value, Tensor | _Tensors)}
        return dataclasses.replace(self, **tensors)  # type: ignore[type-var]


@dataclass(kw_only=True)
class AttentionPlan(_Tensors):
    """Which keys each query of a flat row of tokens sees.

    A row is cut into segments of consecutive queries. The queries of segment `s` are tokens
    `query_offsets[s]:query_offsets[s + 1]`; its keys are the tokens
    `key_index[key_offsets[s]:key_offsets[s + 1]]`: the shared prompt, where there is one, then the
    segment itself. Inside a segment attention is causal from the bottom right: the last query sees
    every key, the one before it all but the last.

    Attributes:
        query_offsets: Cumulative number of queries, the `cu_seqlens_q` of a variable-length kernel.
        key_offsets: Cumulative number of keys, its `cu_seqlens_k`.
        key_index: The token each key is, segment after segment.
        segment_ids: The segment of each token.
        max_queries: Most queries in a segment.
        max_keys: Most keys of a segment.
    """

    query_offsets: Int[Tensor, " offset"]
    key_offsets: Int[Tensor, " offset"]
    key_index: Int[Tensor, " key"]
    segment_ids: Int[Tensor, " token"]
    max_queries: int
    max_keys: int
    # What an Attention derives from the plan once and reuses in every layer; never compared or moved.
    cache: dict[str, Any] = field(default_factory=dict, init=False, repr=False, compare=False)

    @property
    def num_segments(self) -> int:
        """Number of segments, a padding segment at the end included."""
        return self.query_offsets.numel() - 1

    def with_padding(self, number: int) -> "AttentionPlan":
        """The same plan with a segment of so many tokens at its end, which sees itself alone."""
        length = self.segment_ids.numel()
        added = torch.arange(length, length + number, device=self.key_index.device)
        return AttentionPlan(
            query_offsets=F.pad(self.query_offsets, (0, 1), value=length + number),
            key_offsets=F.pad(self.key_offsets, (0, 1), value=self.key_index.numel() + number),
            key_index=torch.cat([self.key_index, added]),
            segment_ids=F.pad(self.segment_ids, (0, number), value=self.num_segments),
            max_queries=max(self.max_queries, number),
            max_keys=max(self.max_keys, number),
        )


@dataclass(kw_only=True)
class PackedBatch(_Tensors):
    """Prompts and responses packed into one flat row of tokens without padding.

    Attributes:
        input_ids: The tokens.
        position_ids: Their positions; every response restarts where its prompt ends.
        plan: Who attends to whom.
        source_index: Per supervised token, the token whose hidden state predicts it.
        target_ids: The supervised tokens. (The last prompt token predicts the first token of each of
            its responses, which shifted labels cannot express.)
        response_index: Per supervised token, the response it belongs to.
        end_index: Per response, its last supervised token.
        prompt_index: Per response, the prompt (0, 1, ...) it answers.
        row_ids: Per prompt, its row in the dataset.
        counts: What this batch holds, by name (rows, tokens, pairs, labels, ...).
        denominators: The same totals of the whole optimizer step, over all micro-batches and ranks.
            Empty outside a planned step.
    """

    input_ids: Int[Tensor, " token"]
    position_ids: Int[Tensor, " token"]
    plan: AttentionPlan
    source_index: Int[Tensor, " target"]
    target_ids: Int[Tensor, " target"]
    response_index: Int[Tensor, " target"]
    end_index: Int[Tensor, " response"]
    prompt_index: Int[Tensor, " response"]
    row_ids: Int[Tensor, " prompt"]
    counts: dict[str, float] = field(default_factory=dict)
    denominators: dict[str, float] = field(default_factory=dict)

    def padded(self, multiple: int) -> "PackedBatch":
        """The same batch, its row padded to a multiple of so many tokens by a segment that nobody reads."""
        number = -self.input_ids.numel() % multiple
        if not number:
            return self
        return dataclasses.replace(
            self,
            input_ids=F.pad(self.input_ids, (0, number)),
            position_ids=torch.cat([self.position_ids, torch.arange(number, device=self.position_ids.device)]),
            plan=self.plan.with_padding(number),
        )

    @property
    def num_responses(self) -> int:
        """Number of responses in the batch."""
        return self.end_index.numel()

    def sum_by_response(self, values: Float[Tensor, " target"]) -> Float[Tensor, " response"]:
        """Sums a value per supervised token within each response."""
        zeros = torch.zeros(self.num_responses, dtype=values.dtype, device=values.device)
        return zeros.index_add(0, self.response_index, values)

    def tokens_by_response(self) -> Int[Tensor, " response"]:
        """Number of supervised tokens of each response."""
        return counted(self.response_index, self.num_responses)


@dataclass(kw_only=True)
class RatingBatch(PackedBatch):
    """Responses with human ratings.

    Attributes:
        ratings: Per response and attribute; NaN where the label is missing.
        highly_rated: Per response, whether the language-model term learns from it.
    """

    ratings: Float[Tensor, "response attribute"]
    highly_rated: Bool[Tensor, " response"]


@dataclass(kw_only=True)
class ScoredBatch(PackedBatch):
    """Several responses to each prompt.

    Attributes:
        rewards: Per response, the reward model's score; NaN where there is none.
        reference_logprobs: Per supervised token, its log-probability under the reference, in nats; None before they
            are computed.
    """

    rewards: Float[Tensor, " response"]
    reference_logprobs: Float[Tensor, " target"] | None = None


@dataclass(kw_only=True)
class PreferenceBatch(ScoredBatch):
    """Pairs of responses to one prompt.

    Attributes:
        chosen: Per pair, the index of the preferred response.
        rejected: Per pair, the index of the other one.
        strengths: Per pair, how clearly chosen is better; NaN where that is not known.
        ratings: Per response and attribute, human ratings; NaN where one is missing.
    """

    chosen: Int[Tensor, " pair"]
    rejected: Int[Tensor, " pair"]
    strengths: Float[Tensor, " pair"]
    ratings: Float[Tensor, "response attribute"]
