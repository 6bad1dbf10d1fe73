"""From hidden states to the log-probabilities of given tokens, without ever holding `(tokens, vocabulary)` logits."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor
from torch.autograd.function import once_differentiable

# Logits that may wait for the backward pass. An accelerator needs a thousand rows to be busy with, also where the
# vocabulary is large: each chunk reads and writes the gradient of the whole head.
_CHUNK_ELEMENTS_ON_CPU, _CHUNK_ELEMENTS = 2**25, 2**27
# Logits that are made at once. On a CPU they stay in the cache for the passes over them.
_BLOCK_ELEMENTS_ON_CPU, _BLOCK_ELEMENTS = 2**21, 2**27
# Tokens of a block, where the vocabulary has as many: thinner products are slow.
_LEAST_WIDTH = 1024


@dataclass(frozen=True, kw_only=True)
class LogitTransform:
    """What some architectures do to logits after the projection.

    Attributes:
        scale: Logits are multiplied by it (Cohere, Granite).
        softcap: Logits become `softcap * tanh(logits / softcap)` (Gemma 2).
    """

    scale: float = 1.0
    softcap: float | None = None

    def __call__(self, logits: Tensor) -> Tensor:
        """Applies the soft-cap to the scaled logits."""
        logits = logits if self.scale == 1.0 else logits * self.scale
        return logits if self.softcap is None else self.softcap * torch.tanh(logits / self.softcap)

    def apply_(self, logits: Tensor) -> Tensor:
        """The same, in place."""
        if self.scale != 1.0:
            logits.mul_(self.scale)
        return logits if self.softcap is None else logits.div_(self.softcap).tanh_().mul_(self.softcap)

    def slope(self, transformed: Tensor) -> Tensor | None:
        """Derivative of the soft-cap where its value is `transformed`; None where it is 1."""
        return None if self.softcap is None else (transformed / self.softcap).square_().neg_().add_(1)


def projected_logprobs(
    hidden: Float[Tensor, "target dim"],
    weight: Float[Tensor, "vocab dim"],
    bias: Float[Tensor, " vocab"] | None,
    targets: Int[Tensor, " target"],
    *,
    transform: LogitTransform,
    chunk_elements: int | None = None,
    block_elements: int | None = None,
) -> Float[Tensor, " target"]:
    """Log-probability, in float32 nats, of each target under the softmax of its projected hidden state.

    Works in chunks of targets, and within a chunk in blocks of the vocabulary. The backward pass needs the softmax
    again: it finds that of the last chunk and computes the others once more, block by block, so peak memory depends
    neither on the number of targets nor on the vocabulary. Where the head is frozen nothing is computed twice.

    Args:
        hidden: What is projected.
        weight: The weight of the output head.
        bias: Its bias.
        targets: The tokens.
        transform: What follows the projection.
        chunk_elements: Logits of a chunk, half as many with a soft-cap, which are held for the backward pass; chosen
            for the device unless given.
        block_elements: Logits that are made at once; chosen for the device unless given.
    """
    on_cpu, vocabulary = hidden.device.type == "cpu", weight.shape[0]
    if block_elements is None:
        block_elements = _BLOCK_ELEMENTS_ON_CPU if on_cpu else _BLOCK_ELEMENTS
    if chunk_elements is None:
        chunk_elements = _CHUNK_ELEMENTS_ON_CPU if on_cpu else _CHUNK_ELEMENTS
        chunk_elements = min(chunk_elements, block_elements * max(1, vocabulary // _LEAST_WIDTH))
    # Under autocast the recomputation has to see the dtypes that the forward pass saw.
    if torch.is_autocast_enabled(hidden.device.type):
        dtype = torch.get_autocast_dtype(hidden.device.type)
        hidden, weight, bias = hidden.to(dtype), weight.to(dtype), None if bias is None else bias.to(dtype)
    if transform.softcap is not None:
        chunk_elements //= 2  # its slopes are held as well
    if not torch.is_grad_enabled():
        hidden, weight, bias = hidden.detach(), weight.detach(), None if bias is None else bias.detach()
    rows = max(1, min(len(hidden), chunk_elements // vocabulary))
    width = max(1, min(vocabulary, block_elements // rows))
    return _ProjectedLogprobs.apply(hidden, weight, bias, targets, transform, rows, width)


@dataclass(frozen=True)
class _Head:
    """What projects, and how its vocabulary is cut into blocks."""

    weight: Tensor
    bias: Tensor | None
    transform: LogitTransform
    width: int

    @property
    def blocks(self) -> list[slice]:
        size = len(self.weight)
        return [slice(start, min(start + self.width, size)) for start in range(0, size, self.width)]

    def logits(self, hidden: Tensor, block: slice) -> Tensor:
        """Transformed logits of a block; a softmax in bfloat16 would be off by nats over a thousand tokens."""
        logits = F.linear(hidden, self.weight[block], None if self.bias is None else self.bias[block])
        return self.transform.apply_(logits if logits.dtype == torch.float64 else logits.float())

    def find(self, targets: Tensor, block: slice) -> tuple[Tensor, Tensor]:
        """The rows whose targets lie in a block, and where."""
        if self.width >= len(self.weight):
            return torch.arange(len(targets), device=targets.device), targets
        rows = ((targets >= block.start) & (targets < block.stop)).nonzero()[:, 0]
        return rows, targets[rows] - block.start


class _Softmax:
    """The softmax of a chunk of targets: of each, the largest logit and the sum of exponentials relative to it.

    Where `keep` says so the exponentials stay until gradients are asked for the first time, each block's relative to
    its own largest.
    """

    def __init__(self, head: _Head, hidden: Tensor, targets: Tensor, *, keep: bool) -> None:
        tops, totals = [], []
        picked = torch.full(targets.shape, math.nan, dtype=_sum_dtype(head.weight), device=targets.device)
        self._kept: list[tuple[Tensor, Tensor, Tensor | None]] = []
        for block in head.blocks:
            logits = head.logits(hidden, block)
            rows, places = head.find(targets, block)
            picked[rows] = logits[rows, places]
            slope = head.transform.slope(logits) if keep else None
            # Where every logit of a block is -inf, nothing may be subtracted from it.
            tops.append(logits.amax(1, keepdim=True).clamp_(min=torch.finfo(logits.dtype).min))
            exponentials = logits.sub_(tops[-1]).exp_()
            totals.append(exponentials.sum(1, keepdim=True))
            if keep:
                self._kept.append((exponentials, tops[-1], slope))
            del logits, exponentials, slope  # their memory is the next block's
        every_top = torch.cat(tops, 1)
        self._top = every_top.amax(1, keepdim=True)
        self._total = (torch.cat(totals, 1) * (every_top - self._top).exp_()).sum(1, keepdim=True)
        self.logprobs = picked - self._top[:, 0] - self._total[:, 0].log()

    def logit_gradients(
        self, head: _Head, hidden: Tensor, targets: Tensor, grad: Tensor
    ) -> Iterator[tuple[slice, Tensor]]:
        """Gradients by the projected logits, block by block, where `grad` is that by the log-probabilities."""
        kept, self._kept = self._kept[::-1], []
        grad = grad[:, None] * head.transform.scale
        for block in head.blocks:
            if kept:
                matrix, top, slope = kept.pop()
            else:
                matrix, top = head.logits(hidden, block), self._top
                slope = head.transform.slope(matrix)
                matrix.sub_(top).exp_()
            matrix.mul_((top - self._top).exp_().div_(self._total).mul_(-grad))
            rows, places = head.find(targets, block)
            matrix[rows, places] += grad[rows, 0]
            if slope is not None:
                matrix.mul_(slope)
            yield block, matrix.to(head.weight.dtype)
            del matrix, slope


class _ProjectedLogprobs(torch.autograd.Function):
    @staticmethod
    def forward(ctx, hidden, weight, bias, targets, transform, rows, width):  # noqa: ANN001, ANN205 - autograd's
        ctx.head_is_trained = any(ctx.needs_input_grad[1:3])
        ctx.transform, ctx.width, ctx.dtype = transform, width, hidden.dtype
        ctx.parts = _parts(len(hidden), rows)
        head, with_slopes = _Head(weight, bias, transform, width), ctx.needs_input_grad[0] and not ctx.head_is_trained
        softmaxes, slopes = [], []
        with torch.autocast(hidden.device.type, enabled=False):
            for part in ctx.parts:
                keep = with_slopes or (ctx.head_is_trained and part is ctx.parts[-1])
                softmaxes.append(_Softmax(head, hidden[part], targets[part], keep=keep))
                if with_slopes:
                    slopes.append(_slopes(softmaxes[-1], head, hidden[part], targets[part]))
        if ctx.head_is_trained:
            ctx.softmaxes = softmaxes
            ctx.save_for_backward(hidden, weight, bias, targets)
        elif with_slopes:
            ctx.save_for_backward(torch.cat(slopes))
        return torch.cat([softmax.logprobs for softmax in softmaxes])

    @staticmethod
    @once_differentiable
    def backward(ctx, grad):  # noqa: ANN001, ANN205
        if not ctx.head_is_trained:
            (slopes,) = ctx.saved_tensors
            return (slopes * grad[:, None]).to(ctx.dtype), *[None] * 6
        hidden, weight, bias, targets = ctx.saved_tensors
        head, dtype = _Head(weight, bias, ctx.transform, ctx.width), _sum_dtype(weight)
        grad_hidden = torch.zeros_like(hidden, dtype=dtype) if ctx.needs_input_grad[0] else None
        grad_weight = torch.empty_like(weight, dtype=dtype)
        grad_bias = None if bias is None else torch.zeros_like(bias, dtype=dtype)
        # The last chunk first: it waits, and the others take its place.
        for part, softmax in zip(reversed(ctx.parts), reversed(ctx.softmaxes), strict=True):
            for block, matrix in softmax.logit_gradients(head, hidden[part], targets[part], grad[part]):
                if grad_hidden is not None:
                    _add_product(grad_hidden[part], matrix, weight[block])
                _add_product(grad_weight[block], matrix.T, hidden[part], fresh=part is ctx.parts[-1])
                if grad_bias is not None:
                    grad_bias[block] += matrix.sum(0, dtype=dtype)
                del matrix  # its memory is the next block's
        grad_hidden = None if grad_hidden is None else grad_hidden.to(ctx.dtype)
        grad_bias = None if grad_bias is None else grad_bias.to(weight.dtype)
        return grad_hidden, grad_weight.to(weight.dtype), grad_bias, *[None] * 4


def _parts(size: int, rows: int) -> list[slice]:
    """Chunks of rows; the last one, which is kept, is full."""
    return [slice(max(0, stop - rows), stop) for stop in range(size, 0, -rows)][::-1] or [slice(0, 0)]


def _slopes(softmax: _Softmax, head: _Head, hidden: Tensor, targets: Tensor) -> Tensor:
    """Gradients of the log-probabilities by the hidden states, where nothing else is trained."""
    slopes = torch.zeros_like(hidden, dtype=_sum_dtype(head.weight))
    for block, matrix in softmax.logit_gradients(head, hidden, targets, torch.ones_like(softmax.logprobs)):
        _add_product(slopes, matrix, head.weight[block])
        del matrix
    # In float16 the loss's scale is yet to come, without which small ones vanish.
    return slopes if hidden.dtype == torch.float16 else slopes.to(hidden.dtype)


def _sum_dtype(weight: Tensor) -> torch.dtype:
    # Gradients are summed over chunks and blocks: in float32, whatever the weight is stored in.
    return torch.promote_types(weight.dtype, torch.float32)


def _add_product(into: Tensor, left: Tensor, right: Tensor, *, fresh: bool = False) -> None:
    """Adds a product, or writes it where `fresh` says that nothing is there yet."""
    if into.dtype == left.dtype:
        into.addmm_(left, right, beta=0 if fresh else 1)
    elif fresh:
        into.copy_(left @ right)
    else:
        into += left @ right
