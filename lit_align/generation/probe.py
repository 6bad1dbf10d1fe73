"""Finds out, when a generator is built, whether a model can be decoded in batches and what memory that takes."""

import inspect
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor
from transformers import DynamicCache, PreTrainedModel
from transformers.cache_utils import CacheLayerMixin, LinearAttentionCacheLayerMixin

from lit_align.errors import ConfigError
from lit_align.generation.batches import Footprint
from lit_align.generation.decode import decode

# Of the total variation between next-token distributions. Half precision rounds differently in every batch size.
_TOLERANCE = {torch.float64: 1e-6, torch.float32: 1e-4, torch.bfloat16: 0.1, torch.float16: 0.05}
_PROMPTS = ([1, 2, 3, 4, 5, 6, 7], [3, 1, 2])
_STEPS = 3
_STOP = 0
# The widest layers of common architectures, in multiples of the hidden size, with the copies that live at one time.
_ACTIVATIONS_PER_HIDDEN = 32
# Logits as they come and in float32, then weights, and their cumulative sum in float64.
_BYTES_PER_LOGIT = 4 + 4 + 4 + 8


def require_exact_batches(model: PreTrainedModel) -> None:
    """Decodes two prompts of different lengths, two samples each, together and alone, and compares what comes next.

    Raises:
        ConfigError: The results differ, or the model keeps no cache whose rows could be moved.
    """
    name = type(model).__name__
    if "past_key_values" not in inspect.signature(model.forward).parameters:
        raise ConfigError(f"{name} keeps what it has read in a form of its own, which cannot be decoded in batches")
    try:
        together = _distributions(model, _PROMPTS, num_samples=2, leaving=(0, 3))
        alone = [_distributions(model, [prompt], num_samples=1) for prompt in _PROMPTS]
    except ValueError as error:  # from the cache of an architecture without attention layers
        raise ConfigError(f"{name} cannot be decoded in batches: {str(error).splitlines()[0][:300]}") from error
    differences = [
        (probabilities - alone[sequence // 2][0, step]).abs().sum() / 2
        for (sequence, step), probabilities in together.items()
    ]
    error, limit = float(torch.stack(differences).max()), _TOLERANCE[model.dtype]
    if not error <= limit:
        raise ConfigError(
            f"{name} answers differently in a batch than alone: next-token probabilities differ by {error:.2g}, more "
            f"than {limit:g} in {model.dtype}.\nIt does not honour padding masks or position ids: serve it instead."
        )


def _distributions(
    model: PreTrainedModel, prompts: Sequence[Sequence[int]], *, num_samples: int, leaving: Sequence[int] = ()
) -> dict[tuple[int, int], Float[Tensor, " vocab"]]:
    """Next-token probabilities by sequence and step of fixed continuations; `leaving` stop after one token."""
    seen: dict[tuple[int, int], Tensor] = {}

    def pick(logits: Tensor, sequences: Tensor, step: int) -> Tensor:
        numbers = sequences.tolist()
        seen.update(zip([(number, step) for number in numbers], logits.float().softmax(-1), strict=True))
        return torch.tensor([_STOP if number in leaving else 2 + step for number in numbers], device=logits.device)

    for _ in decode(model, prompts, num_samples=num_samples, max_new_tokens=_STEPS, stop_ids=[_STOP], pick=pick):
        pass
    return seen


@torch.inference_mode()
def measure_footprint(model: PreTrainedModel) -> Footprint:
    """What decoding takes: the cache as measured on a short prompt, activations and logits from the sizes."""
    prompt = torch.tensor([_PROMPTS[0]], device=model.device)
    cache = DynamicCache(config=model.config)
    vocab = model(input_ids=prompt, past_key_values=cache, use_cache=True).logits.shape[-1]
    growing = [t for layer in cache.layers if isinstance(layer, CacheLayerMixin) for t in (layer.keys, layer.values)]
    fixed = [
        state
        for layer in cache.layers
        if isinstance(layer, LinearAttentionCacheLayerMixin)
        for state in (*layer.conv_states.values(), *layer.recurrent_states.values())
    ]
    hidden = model.config.get_text_config().hidden_size
    return Footprint(
        per_prompt_token=_ACTIVATIONS_PER_HIDDEN * hidden * model.dtype.itemsize,
        per_cached_token=_bytes(growing) // prompt.shape[1],
        per_sequence=_bytes(fixed) + _BYTES_PER_LOGIT * vocab,
    )


def _bytes(tensors: Sequence[Tensor | None]) -> int:
    return sum(tensor.nbytes for tensor in tensors if tensor is not None)
