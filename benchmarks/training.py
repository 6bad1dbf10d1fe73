"""A training step on packed, shared-prompt batches against the same step on padded rows in plain transformers.

Lengths are those of HH-RLHF harmless-base on average: a prompt of 107 tokens, responses of 40 and 50.
"""

import random
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from lit_align import HFBackbone
from lit_align.losses import dpo_loss
from lit_align.models.attention import IMPLEMENTATION
from lit_align.models.packing import Response, Tree, pack

VOCABULARY = 32_000
MODEL = {
    "model_type": "llama",
    "vocab_size": VOCABULARY,
    "hidden_size": 256,
    "intermediate_size": 688,
    "num_hidden_layers": 6,
    "num_attention_heads": 8,
    "max_position_embeddings": 2048,
}


@dataclass(frozen=True, kw_only=True)
class Result:
    """Medians over alternating steps, and how far the two losses are apart."""

    name: str
    packed_seconds: float
    padded_seconds: float
    loss_difference: float

    @property
    def ratio(self) -> float:
        """How many times faster the packed step is."""
        return self.padded_seconds / self.packed_seconds


def measure(*, rows: int, repeats: int) -> Iterator[Result]:
    """Times a forward and backward pass of SFT and of DPO (reference log-probabilities at hand in both)."""
    backbone = HFBackbone(config=MODEL, tokenizer="none")
    backbone.configure_model()
    trees = _trees(rows)
    for name, packed, padded in (
        ("SFT", lambda: _packed_nll(backbone, trees), lambda: _padded_nll(backbone, trees)),
        ("DPO", lambda: _packed_dpo(backbone, trees), lambda: _padded_dpo(backbone, trees)),
    ):
        yield _compare(name, backbone, packed, padded, repeats)


def _compare(
    name: str, backbone: HFBackbone, packed: Callable[[], Tensor], padded: Callable[[], Tensor], repeats: int
) -> Result:
    seconds: dict[str, list[float]] = {"packed": [], "padded": []}
    losses: dict[str, float] = {}
    for number in range(repeats + 1):
        for kind, step in (("packed", packed), ("padded", padded)):
            backbone.zero_grad()
            start = time.perf_counter()
            loss = step()
            loss.backward()
            if number:  # the first one warms up
                seconds[kind].append(time.perf_counter() - start)
            losses[kind] = float(loss.detach())
    return Result(
        name=name,
        packed_seconds=statistics.median(seconds["packed"]),
        padded_seconds=statistics.median(seconds["padded"]),
        loss_difference=abs(losses["packed"] - losses["padded"]),
    )


def _trees(rows: int) -> list[Tree]:
    rng = random.Random(0)

    def ids(mean: int) -> list[int]:
        return [rng.randrange(VOCABULARY) for _ in range(max(1, round(rng.expovariate(1 / mean))))]

    return [Tree(prompt=ids(107), responses=[Response(ids=ids(40)), Response(ids=ids(50))]) for _ in range(rows)]


def _packed_nll(backbone: HFBackbone, trees: list[Tree]) -> Tensor:
    return -backbone.logprobs(pack([Tree(prompt=t.prompt, responses=t.responses[:1]) for t in trees])).mean()


def _padded_nll(backbone: HFBackbone, trees: list[Tree]) -> Tensor:
    values, mask = _padded_logprobs(backbone, [(tree, 0) for tree in trees])
    return -(values * mask).sum() / mask.sum()


def _packed_dpo(backbone: HFBackbone, trees: list[Tree]) -> Tensor:
    batch = pack(trees)
    sums = 0.1 * batch.sum_by_response(backbone.logprobs(batch))
    return dpo_loss(implicit_margin=sums[0::2] - sums[1::2]).mean()


def _padded_dpo(backbone: HFBackbone, trees: list[Tree]) -> Tensor:
    values, mask = _padded_logprobs(backbone, [(tree, side) for side in (0, 1) for tree in trees])
    sums = 0.1 * (values * mask).sum(1)
    return dpo_loss(implicit_margin=sums[: len(trees)] - sums[len(trees) :]).mean()


def _padded_logprobs(backbone: HFBackbone, rows: list[tuple[Tree, int]]) -> tuple[Tensor, Tensor]:
    """What textbook code does: prompt and response in one padded row, logits of every token, a mask."""
    ids = [torch.tensor([*tree.prompt, *tree.responses[side].ids]) for tree, side in rows]
    tokens = pad_sequence(ids, batch_first=True)
    lengths = torch.tensor([len(row) for row in ids])[:, None]
    place = torch.arange(tokens.shape[1])
    model = backbone.built
    model.set_attn_implementation("sdpa")
    logits = model(input_ids=tokens, attention_mask=(place < lengths).long(), use_cache=False).logits
    model.set_attn_implementation(IMPLEMENTATION)
    values = F.log_softmax(logits[:, :-1].float(), -1).gather(-1, tokens[:, 1:, None])[..., 0]
    starts = torch.tensor([len(tree.prompt) for tree, _ in rows])[:, None]
    return values, ((place[1:] >= starts) & (place[1:] < lengths)).float()
