"""The decode loop: a prompt is read once for all its samples, finished sequences leave the batch."""

import inspect
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, final

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from numpy import ndarray
from torch import Tensor
from transformers import DynamicCache, PreTrainedModel

Pick = Callable[[Tensor, Tensor, int], Tensor]
"""Chooses tokens: logits `[row vocab]`, the sequence each row is, and the step, counted from 0, to ids `[row]`."""

# A row that has finished costs as much as one that has not, but to let rows leave copies the cache, about as much as
# one step does.
_FINISHED_SHARE_WORTH_A_COPY = 1 / 8


@dataclass(frozen=True, kw_only=True)
class Step:
    """One more token of every sequence that had not stopped.

    Args:
        sequences: Which sequences; those of the first prompt come first.
        ids: Their tokens.
        stopped: Whether that was a terminator; such a sequence does not come again.
    """

    sequences: Int[ndarray, " live"]
    ids: Int[ndarray, " live"]
    stopped: Bool[ndarray, " live"]


def decode(
    model: PreTrainedModel,
    prompts: Sequence[Sequence[int]],
    *,
    num_samples: int,
    max_new_tokens: int,
    stop_ids: Sequence[int],
    pick: Pick,
) -> Iterator[Step]:
    """Continues each prompt `num_samples` times, at most by `max_new_tokens`, one `Step` at a time.

    Exact whatever the lengths: shorter prompts are padded on the left, masked, and keep their positions.
    """
    rows = _Rows(model, prompts, pad_id=stop_ids[0])
    logits = rows.read_prompts()
    rows.repeat(num_samples)
    logits = logits.repeat_interleave(num_samples, dim=0)
    sequences = rows.sequences.cpu().numpy()
    live = np.ones(len(sequences), dtype=bool)
    for step in range(max_new_tokens):
        with torch.inference_mode():  # never across the `yield`, where it would leak into the caller
            next_ids = pick(logits, rows.sequences, step)
        ids = next_ids.cpu().numpy()  # the only transfer of a step, where the host waits for the device
        stopped = np.isin(ids, stop_ids)
        yield Step(sequences=sequences[live], ids=ids[live], stopped=stopped[live])
        live &= ~stopped
        if step + 1 == max_new_tokens or not live.any():
            return
        if (~live).sum() >= _FINISHED_SHARE_WORTH_A_COPY * len(live):
            kept = torch.from_numpy(np.flatnonzero(live)).to(next_ids.device)
            rows.keep(kept)
            next_ids, sequences, live = next_ids[kept], sequences[live], live[live]
        logits = rows.read(next_ids)


@final
class _Rows:
    """The rows of a batch: what the model has read of them, and which sequence each one is."""

    def __init__(self, model: PreTrainedModel, prompts: Sequence[Sequence[int]], *, pad_id: int) -> None:
        self._model = model
        self._takes = inspect.signature(model.forward).parameters.keys()
        self._cache = DynamicCache(config=model.config)
        length = max(map(len, prompts))
        ids = np.full((len(prompts), length), pad_id)
        mask = np.zeros((len(prompts), length), dtype=np.int64)
        for row, prompt in enumerate(prompts):
            ids[row, length - len(prompt) :] = prompt
            mask[row, length - len(prompt) :] = 1
        self._prompt_ids = torch.from_numpy(ids).to(model.device)
        self._positions = torch.from_numpy((mask.cumsum(1) - 1).clip(min=0)).to(model.device)
        # Without padding there is nothing to mask, and attention is faster for knowing it.
        self._mask = None if mask.all() else torch.from_numpy(mask).to(model.device)
        self.sequences = torch.arange(len(prompts), device=model.device)

    def read_prompts(self) -> Float[Tensor, "row vocab"]:
        """Reads the prompts; the logits of their next tokens."""
        return self._forward(self._prompt_ids)

    def read(self, ids: Int[Tensor, " row"]) -> Float[Tensor, "row vocab"]:
        """Reads one more token of every row; the logits of the tokens after them."""
        self._positions = self._positions[:, -1:] + 1
        if self._mask is not None:
            self._mask = torch.cat([self._mask, self._mask.new_ones(len(ids), 1)], dim=1)
        return self._forward(ids[:, None])

    def repeat(self, times: int) -> None:
        """Makes every row `times` sequences."""
        if times > 1:
            self.keep(torch.arange(len(self.sequences), device=self.sequences.device).repeat_interleave(times))
            self.sequences = torch.arange(len(self.sequences), device=self.sequences.device)

    @torch.inference_mode()
    def keep(self, rows: Int[Tensor, " kept"]) -> None:
        """Leaves these rows only, in this order; a row may come several times."""
        # Unlike `batch_select_indices`, this is known to all kinds of cache layers, and copies whole rows at once.
        self._cache.reorder_cache(rows)  # pyright: ignore[reportArgumentType] - wants the legacy LongTensor
        self.sequences, self._positions = self.sequences[rows], self._positions[rows]
        self._mask = None if self._mask is None else self._mask[rows]

    @torch.inference_mode()
    def _forward(self, ids: Int[Tensor, "row new"]) -> Float[Tensor, "row vocab"]:
        optional: dict[str, Any] = {"position_ids": self._positions, "logits_to_keep": 1}
        options = {name: value for name, value in optional.items() if name in self._takes}
        output = self._model(
            input_ids=ids, attention_mask=self._mask, past_key_values=self._cache, use_cache=True, **options
        )
        return output.logits[:, -1]
