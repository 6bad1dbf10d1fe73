"""What a training step needs in memory, in bytes: measured on a few rows before the first one."""

import os
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from lit_align.data.dataset import PackedDataset
from lit_align.data.steps import MicroBatch
from lit_align.models.live_memory import LiveMemory
from lit_align.modules.schedule import OptimizerCallable
from lit_align.modules.terms import objective

if TYPE_CHECKING:
    from lit_align.modules.base import AlignmentModule

_PROBE_TOKENS = 2048  # a larger micro-batch is measured on this many tokens and half of them, and extended in a line


@dataclass(frozen=True, kw_only=True)
class Passes:
    """What the forward and backward pass of a micro-batch hold besides weights and their gradients.

    Attributes:
        kept: Bytes alive between the two passes: activations.
        more: Bytes that the larger of the two passes needs beyond that at its peak: logits, gradients of activations.
    """

    kept: int
    more: int


def passes_of(module: "AlignmentModule", dataset: PackedDataset, rows: tuple[int, ...]) -> Passes:
    """Measures the passes of a micro-batch of these rows, or of some of them where there are many tokens.

    No gradient reaches a parameter, no random number is used up, and the weights stay as they are.
    """
    order = sorted(rows, key=lambda row: -dataset.lengths[row])
    lengths = [dataset.lengths[row] for row in order]
    total = sum(lengths)
    many = _rows_within(lengths, _PROBE_TOKENS)
    if many == len(order):
        return _measure(module, dataset, tuple(order))
    few = _rows_within(lengths[:many], _PROBE_TOKENS // 2)
    larger = _measure(module, dataset, tuple(order[:many]))
    if few == many:  # one long row
        factor = total / sum(lengths[:many])
        return Passes(kept=int(larger.kept * factor), more=int(larger.more * factor))
    smaller = _measure(module, dataset, tuple(order[:few]))
    slope = (total - sum(lengths[:many])) / (sum(lengths[:many]) - sum(lengths[:few]))
    return Passes(
        kept=larger.kept + int(slope * (larger.kept - smaller.kept)),
        more=larger.more + max(0, int(slope * (larger.more - smaller.more))),
    )


def _rows_within(lengths: list[int], tokens: int) -> int:
    number = used = 0
    while number < len(lengths) and (number == 0 or used + lengths[number] <= tokens):
        used += lengths[number]
        number += 1
    return number


def _measure(module: "AlignmentModule", dataset: PackedDataset, rows: tuple[int, ...]) -> Passes:
    device = module.trainer.strategy.root_device
    batch = dataset[MicroBatch(rows=rows, denominators={})].to_device(device)
    trained = [parameter for parameter in module.parameters() if parameter.requires_grad]
    # Gradients are counted elsewhere: here each is replaced, as soon as it is there, by one zero of its shape.
    hooks = [parameter.register_hook(lambda grad: grad.new_zeros(()).expand_as(grad)) for parameter in trained]
    try:
        with ExitStack() as stack:
            stack.enter_context(torch.random.fork_rng([device] if device.type == "cuda" else []))
            memory = stack.enter_context(_counted(device))
            with module.trainer.precision_plugin.forward_context():
                loss = objective(module.losses(batch), batch.counts)
            kept = memory.now()
            torch.autograd.grad(loss, trained, allow_unused=True)
            return Passes(kept=kept, more=memory.peak() - kept)
    finally:
        for hook in hooks:
            hook.remove()


class _Counted:
    """Bytes in use beyond those at the start, now and at the peak: of the allocator where there is one."""

    def __init__(self, device: torch.device, live: LiveMemory | None) -> None:
        self._device, self._live = device, live
        self._before = 0 if live is not None else torch.cuda.memory_allocated(device)

    def now(self) -> int:
        return self._live.now if self._live is not None else torch.cuda.memory_allocated(self._device) - self._before

    def peak(self) -> int:
        if self._live is not None:
            return self._live.peak
        return torch.cuda.max_memory_allocated(self._device) - self._before


@contextmanager
def _counted(device: torch.device) -> Iterator[_Counted]:
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        yield _Counted(device, None)
    else:
        with LiveMemory() as live:
            yield _Counted(device, live)


def optimizer_state_per_byte(make: OptimizerCallable, device: torch.device, dtype: torch.dtype) -> float:
    """Bytes of state that an optimizer keeps per byte of a trained matrix; found by a step on a matrix of zeros."""
    matrix = nn.Parameter(torch.zeros(256, 256, dtype=dtype, device=device))
    optimizer = make([{"params": [matrix]}])
    matrix.grad = torch.zeros_like(matrix)
    optimizer.step()
    return state_bytes(optimizer) / matrix.nbytes


def state_bytes(optimizer: Any) -> int:
    """Bytes of an optimizer's state on this process."""
    return nbytes(value for state in optimizer.state.values() for value in state.values() if isinstance(value, Tensor))


def nbytes(tensors: Iterable[Tensor]) -> int:
    """Bytes of tensors on this process; of sharded ones its shards, of quantised ones what they really store."""
    total = 0
    for tensor in tensors:
        inner = getattr(tensor, "__tensor_flatten__", None)
        if inner is None:
            total += tensor.nbytes
        else:
            parts = [getattr(tensor, name) for name in inner()[0]]  # a sharded tensor's are its shard and its devices
            total += nbytes(part for part in parts if isinstance(part, Tensor))
    return total


@dataclass(frozen=True, kw_only=True)
class Room:
    """The memory in which training takes place.

    Attributes:
        used: Bytes in use by this process.
        total: Bytes it can have, those in use included.
        place: Where, in words.
    """

    used: int
    total: int
    place: str


def room(device: torch.device) -> Room:
    """The memory of a device as it is now; on the CPU that of the machine, or of the container."""
    if device.type == "cuda":
        used = torch.cuda.memory_allocated(device)
        free, _ = torch.cuda.mem_get_info(device)
        return Room(
            used=used, total=free + torch.cuda.memory_reserved(device), place=torch.cuda.get_device_name(device)
        )
    import psutil

    used = psutil.Process().memory_info().rss
    total = used + psutil.virtual_memory().available
    limit = _container_limit()
    return Room(used=used, total=total if limit is None else min(total, limit), place="this machine")


def _container_limit() -> int | None:
    path = Path("/sys/fs/cgroup/memory.max")
    text = path.read_text(encoding="ascii").strip() if os.access(path, os.R_OK) else "max"
    return None if text == "max" else int(text)
