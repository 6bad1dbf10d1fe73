"""Learning-rate schedules by optimizer step, and which parameters decay."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

from torch import Tensor, nn
from torch.optim import Adam, Optimizer
from torch.optim.lr_scheduler import LambdaLR

from lit_align.errors import ConfigError

_FUSED_DEVICES = ("cpu", "cuda")

OptimizerCallable = Callable[[list[dict[str, Any]]], Optimizer]
"""Makes an optimizer of parameter groups; on the command line a class path and its arguments.

A default is a lambda of one call whose arguments are plain numbers: jsonargparse reads it from the source, so that
`--model.optimizer.lr` changes the rate of the default and the saved config has all of it.
"""


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """How the learning rate moves, step by step.

    Attributes:
        shape: After warm-up the rate stays (`constant`), follows half a `cosine`, or a line (`linear`).
        warmup_steps: Steps in which it rises from 0. A number below 1 is a share of all steps.
        final: Where it ends, as a share of its peak; a constant rate ignores it.
    """

    shape: Literal["constant", "cosine", "linear"] = "constant"
    warmup_steps: float | int = 0
    final: float | int = 0.0

    def factor(self, step: int, *, total: int) -> float | int:
        """Share of the peak rate at the step with this number (the first is 0) of `total`."""
        warmup = self.num_warmup_steps(total)
        rise = min(1.0, (step + 1) / (warmup + 1)) if warmup else 1.0
        if self.shape == "constant":
            return rise
        passed = min(1.0, max(0, step - warmup) / max(1, total - warmup))
        left = 1 - passed if self.shape == "linear" else (1 + math.cos(math.pi * passed)) / 2
        return rise * (self.final + (1 - self.final) * left)

    def num_warmup_steps(self, total: int) -> int:
        """Steps of warm-up; a positive share is never rounded to none."""
        if self.warmup_steps < 0:
            raise ConfigError(f"schedule.warmup_steps must not be negative, got {self.warmup_steps}")
        return math.ceil(self.warmup_steps * total) if 0 < self.warmup_steps < 1 else int(self.warmup_steps)

    def scheduler(self, optimizer: Optimizer, *, total: int) -> LambdaLR:
        """A torch scheduler to be stepped after every optimizer step."""
        return LambdaLR(optimizer, partial(self.factor, total=total))


def parameter_groups(module: nn.Module) -> list[dict[str, Any]]:
    """Trainable parameters in two groups: those that decay, and norms, biases and embeddings, which do not."""
    embeddings = {id(m.weight) for m in module.modules() if isinstance(m, nn.Embedding)}
    decay, keep = [], []
    for parameter in module.parameters():
        if parameter.requires_grad:
            plain = parameter.ndim < 2 or id(parameter) in embeddings
            (keep if plain else decay).append(parameter)
    groups = [{"params": decay}, {"params": keep, "weight_decay": 0.0}]
    return [group for group in groups if group["params"]]


def fused(optimizer: Optimizer) -> Optimizer:
    """Lets an optimizer that leaves the choice open (`fused: null`) update a group in one kernel, where torch has it.

    Five times faster than one parameter after another on a CPU. Rounding differs in the last bit.
    """
    for group in optimizer.param_groups:
        is_open = group.get("fused", False) is None and not group.get("foreach") and not group.get("differentiable")
        if is_open and all(_can_fuse(optimizer, parameter) for parameter in group["params"]):
            # Not by the constructor's argument, which makes Lightning refuse to clip gradients in float16.
            group["fused"] = True
    return optimizer


def _can_fuse(optimizer: Optimizer, parameter: Tensor) -> bool:
    from torch.distributed.tensor import DTensor

    if isinstance(parameter, DTensor) and not isinstance(optimizer, Adam):
        return False  # of sharded weights torch has Adam's kernel alone
    return parameter.is_floating_point() and parameter.device.type in _FUSED_DEVICES
