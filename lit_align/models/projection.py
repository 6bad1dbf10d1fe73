"""From hidden states to the log-probabilities of given tokens, without ever holding `(tokens, vocabulary)` logits."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor
from torch.autograd.function import once_differentiable

# In float32 just below the 32 MiB from which glibc maps every tensor anew: each use would pay for its page faults.
_CHUNK_ELEMENTS_ON_CPU = 2**23 - 2**12
# An accelerator needs a thousand rows to be busy with, also where the vocabulary is large: each chunk reads and writes
# the gradient of the whole head.
_CHUNK_ELEMENTS = 2**27
# What a core's cache holds between the passes over it.
_BLOCK_ELEMENTS_ON_CPU = 2**18
_KEPT_ELEMENTS_ON_CPU, _KEPT_ELEMENTS = 2**25, 2**26


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
    kept_elements: int | None = None,
) -> Float[Tensor, " target"]:
    """Log-probability, in float32 nats, of each target under the softmax of its projected hidden state.

    Works in chunks of at most `chunk_elements` logits. The backward pass needs the softmax again: it finds that of the
    last chunks, at most `kept_elements`, and computes the others once more, so peak memory depends neither on the
    number of targets nor on the vocabulary. Where the weight is frozen nothing is kept or computed twice.

    Args:
        hidden: What is projected.
        weight: The weight of the output head.
        bias: Its bias.
        targets: The tokens.
        transform: What follows the projection.
        chunk_elements: Logits in memory at once; chosen for the device unless given.
        kept_elements: Elements of softmax kept for the backward pass; chosen for the device unless given.
    """
    on_cpu = hidden.device.type == "cpu"
    if chunk_elements is None:
        chunk_elements = _CHUNK_ELEMENTS_ON_CPU if on_cpu else _CHUNK_ELEMENTS
    if kept_elements is None:
        kept_elements = _KEPT_ELEMENTS_ON_CPU if on_cpu else _KEPT_ELEMENTS
    # Under autocast the recomputation has to see the dtypes that the forward pass saw.
    if torch.is_autocast_enabled(hidden.device.type):
        dtype = torch.get_autocast_dtype(hidden.device.type)
        hidden, weight, bias = hidden.to(dtype), weight.to(dtype), None if bias is None else bias.to(dtype)
    rows = max(1, chunk_elements // weight.shape[0])
    a_chunk = rows * weight.shape[0] * (1 if transform.softcap is None else 2)
    if not torch.is_grad_enabled():
        hidden, weight, bias = hidden.detach(), weight.detach(), None if bias is None else bias.detach()
    return _ProjectedLogprobs.apply(hidden, weight, bias, targets, transform, rows, kept_elements // a_chunk)


def _exponentiate(logits: Tensor) -> tuple[Tensor, Tensor]:
    """Subtracts each row's maximum and takes exponentials, in place; gives the maxima, and the sums."""
    rows = len(logits)
    if logits.device.type == "cpu":
        rows = _BLOCK_ELEMENTS_ON_CPU // logits.shape[1]
    tops, totals = [], []
    for block in logits.split(max(1, rows)):
        tops.append(block.amax(1, keepdim=True))
        totals.append(block.sub_(tops[-1]).exp_().sum(1, keepdim=True))
    return torch.cat(tops), torch.cat(totals)


class _Softmax:
    """The softmax of a chunk of logits: exponentials, not yet divided by their totals."""

    def __init__(self, logits: Tensor, targets: Tensor, transform: LogitTransform, *, differentiated: bool) -> None:
        # A softmax in bfloat16 is off by nats over a thousand tokens; float64 stays what it is.
        logits = transform.apply_(logits if logits.dtype == torch.float64 else logits.float())
        picked = logits.gather(1, targets[:, None])
        self._slope = transform.slope(logits) if differentiated else None
        top, self._totals = _exponentiate(logits)
        self._exponentials = logits
        self._targets = targets[:, None]
        self._scale = transform.scale
        self.logprobs = (picked - top - self._totals.log())[:, 0]

    def logit_gradients(self, grad: Tensor, *, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        """Gradients by the projected logits: a matrix, and a factor of each of its rows. Uses the softmax up."""
        matrix = self._exponentials.scatter_add_(1, self._targets, -self._totals)
        if self._slope is not None:
            matrix.mul_(self._slope)
        factors = grad[:, None] * (-self._scale / self._totals)
        if matrix.dtype == dtype:
            return matrix, factors
        # In 16 bits the exponentials may overflow: they are divided before they are rounded.
        return matrix.mul_(factors).to(dtype), torch.ones_like(factors, dtype=dtype)


class _ProjectedLogprobs(torch.autograd.Function):
    @staticmethod
    def forward(ctx, hidden, weight, bias, targets, transform, rows, num_kept):  # noqa: ANN001, ANN205 - autograd's
        head_is_trained = any(ctx.needs_input_grad[1:3])
        starts = range(0, max(1, len(hidden)), rows)
        logprobs, slopes, ctx.kept = [], [], {}
        with torch.autocast(hidden.device.type, enabled=False):
            for start in starts:
                part = slice(start, start + rows)
                logits = F.linear(hidden[part], weight, bias)
                softmax = _Softmax(logits, targets[part], transform, differentiated=any(ctx.needs_input_grad))
                logprobs.append(softmax.logprobs)
                if not head_is_trained and ctx.needs_input_grad[0]:
                    matrix, factors = softmax.logit_gradients(torch.ones_like(logprobs[-1]), dtype=weight.dtype)
                    slopes.append((matrix @ weight).mul_(factors))
                elif head_is_trained and start >= starts[-1] - (num_kept - 1) * rows:
                    ctx.kept[start] = softmax
        ctx.transform, ctx.rows, ctx.head_is_trained = transform, rows, head_is_trained
        saved = (hidden, weight, bias, targets) if head_is_trained else (torch.cat(slopes),) if slopes else ()
        ctx.save_for_backward(*saved)
        return torch.cat(logprobs)

    @staticmethod
    @once_differentiable
    def backward(ctx, grad):  # noqa: ANN001, ANN205
        if not ctx.head_is_trained:
            (slopes,) = ctx.saved_tensors
            return (slopes * grad[:, None]).to(slopes.dtype), *[None] * 6
        hidden, weight, bias, targets = ctx.saved_tensors
        # The weight's gradient is summed over chunks: in float32, whatever the weight is stored in.
        total = torch.promote_types(weight.dtype, torch.float32)
        grad_hidden = torch.empty_like(hidden) if ctx.needs_input_grad[0] else None
        grad_weight = torch.zeros_like(weight, dtype=total)
        grad_bias = None if bias is None else torch.zeros_like(bias, dtype=total)
        for start in range(0, len(hidden), ctx.rows):
            part = slice(start, start + ctx.rows)
            softmax = ctx.kept.pop(start, None)
            if softmax is None:
                logits = F.linear(hidden[part], weight, bias)
                softmax = _Softmax(logits, targets[part], ctx.transform, differentiated=True)
            matrix, factors = softmax.logit_gradients(grad[part], dtype=weight.dtype)
            if grad_hidden is not None:
                torch.mul(matrix @ weight, factors, out=grad_hidden[part])
            if total == weight.dtype:
                grad_weight.addmm_(matrix.T, hidden[part] * factors)
            else:
                grad_weight += matrix.T @ (hidden[part] * factors)
            if grad_bias is not None:
                grad_bias += (matrix * factors).sum(0, dtype=total)
            del softmax, matrix  # their memory is the next chunk's
        grad_bias = None if grad_bias is None else grad_bias.to(weight.dtype)
        return grad_hidden, grad_weight.to(weight.dtype), grad_bias, *[None] * 4
