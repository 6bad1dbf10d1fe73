"""A bare step on packed, shared-prompt batches that lie in memory: forward, backward, clipping, optimizer."""

import sys
from collections.abc import Callable
from itertools import cycle
from typing import Any

from benchmarks.gate import gate
from benchmarks.spec import BETA, CLIP, ETA, LEARNING_RATE, Spec

_COMPARED = ("dpo", "rpo", "k_way")  # with a reference


def main(spec: Spec) -> None:
    """Trains until told to stop.

    Option `reference_logprobs`: `online`, a frozen copy at every step, or `cached`, computed before the first one.
    """
    gate()
    import torch

    from benchmarks.flops import Sizes, counted, needed
    from lit_align import HFBackbone

    torch.set_num_threads(spec.threads)
    gate().imported()
    folder = f"{spec.weights}/{'reward' if spec.task == 'reward' else 'causal'}"
    backbone = HFBackbone(folder)
    backbone.configure_model()
    batches, reference = _batches(spec), _reference(spec, folder)
    if reference is not None and spec.options.get("reference_logprobs") == "cached":
        for batch in batches:
            batch.reference_logprobs = reference(batch)
        reference = None
    step, parameters = _step(spec, backbone, reference)
    sizes = Sizes.of(backbone.built.config)
    gate().ready(parameters=sum(parameter.numel() for parameter in parameters))
    for number, batch in enumerate(cycle(batches)):
        flops = needed(sizes, batch, projected=spec.task != "reward", reference=reference is not None)
        if number:
            gate().step_done(step(batch), flops=flops)
        else:  # counting slows the step down, so it is done in the one that warms up
            loss, executed = counted(lambda batch=batch: step(batch))
            gate().step_done(loss, flops=flops, executed=executed)


def _step(spec: Spec, backbone: Any, reference: Any) -> tuple[Callable[[Any], float], list[Any]]:
    """A step on a batch, and the parameters it trains."""
    from torch.nn.utils import clip_grads_with_norm_
    from torch.optim import AdamW

    from lit_align.modules.gradients import gradient_norm

    loss_of, parameters = _objective(spec, backbone)
    optimizer = AdamW(parameters, lr=LEARNING_RATE, weight_decay=0.0, fused=True)

    def step(batch: Any) -> float:
        given = batch.reference_logprobs if spec.task in _COMPARED else None
        loss = loss_of(batch, given if reference is None else reference(batch))
        optimizer.zero_grad()
        loss.backward()
        norm = gradient_norm(parameters)
        if norm > CLIP:
            clip_grads_with_norm_(parameters, CLIP, norm)
        optimizer.step()
        return float(loss.detach())

    return step, parameters


def _reference(spec: Spec, folder: str) -> Callable[[Any], Any] | None:
    """Reads log-probabilities by a frozen copy of the weights."""
    if spec.task not in _COMPARED:
        return None
    import torch

    from lit_align import HFBackbone

    reference = HFBackbone(folder)
    reference.configure_model()
    reference.requires_grad_(False).eval()
    return torch.no_grad()(reference.logprobs)


def _batches(spec: Spec) -> list[Any]:
    from lit_align import PreferenceData, ScoredData, SFTData

    data_class = {"sft": SFTData, "k_way": ScoredData}.get(spec.task, PreferenceData)
    data = data_class(
        spec.rows,
        tokenizer=f"{spec.weights}/causal",
        max_length=spec.max_length,
        global_batch_size=spec.batch_size,
        shuffle=False,
    )
    data.setup("fit")
    return list(data.train_dataloader())


def _objective(spec: Spec, backbone: Any) -> tuple[Callable[[Any, Any], Any], list[Any]]:
    """The loss of a batch and its reference log-probabilities, and the parameters it trains."""
    from pathlib import Path

    from lit_align.losses import bradley_terry_loss, dpo_loss, rpo_k_way_loss, rpo_loss
    from lit_align.models.heads import load_head

    def implicit(batch: Any, given: Any) -> Any:
        return BETA * batch.sum_by_response(backbone.logprobs(batch) - given)

    def pairs(rewards: Any) -> Any:
        return rewards[0::2] - rewards[1::2]

    if spec.task == "reward":
        head = load_head(Path(spec.weights) / "reward")
        parameters = [*backbone.built.get_decoder().parameters(), *head.parameters()]
        return lambda batch, given: bradley_terry_loss(
            margin=pairs(head.reward(head(backbone.end_states(batch))))
        ).mean(), parameters
    losses = {
        "sft": lambda batch, given: -backbone.logprobs(batch).mean(),
        "dpo": lambda batch, given: dpo_loss(implicit_margin=pairs(implicit(batch, given))).mean(),
        "rpo": lambda batch, given: rpo_loss(
            implicit_margin=pairs(implicit(batch, given)), reward_margin=ETA * pairs(batch.rewards)
        ).mean(),
        "k_way": lambda batch, given: rpo_k_way_loss(
            implicit_rewards=implicit(batch, given),
            rewards=ETA * batch.rewards,
            prompt_index=batch.prompt_index,
            num_prompts=len(batch.row_ids),
        ).mean(),
    }
    return losses[spec.task], list(backbone.parameters())


if __name__ == "__main__":
    main(Spec.from_json(sys.argv[1]))
