"""Chunked projection against the plain log-softmax."""

import math
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from lit_align.losses import logprobs_of
from lit_align.models.live_memory import LiveMemory
from lit_align.models.projection import LogitTransform, projected_logprobs


def _inputs(num_targets: int = 7, vocab: int = 11, dim: int = 5) -> tuple[torch.Tensor, ...]:
    draw = torch.Generator().manual_seed(0)
    hidden = torch.randn(num_targets, dim, generator=draw, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(vocab, dim, generator=draw, dtype=torch.float64, requires_grad=True)
    bias = torch.randn(vocab, generator=draw, dtype=torch.float64, requires_grad=True)
    return hidden, weight, bias, torch.randint(0, vocab, (num_targets,), generator=draw)


TRANSFORMS = [LogitTransform(), LogitTransform(scale=0.25, softcap=3.0)]


@pytest.mark.parametrize("transform", TRANSFORMS)
@pytest.mark.parametrize("chunk_elements", [1, 23, 2**24])
@pytest.mark.parametrize("block_elements", [1, 23, 45, 2**24])
def test_values_and_gradients_equal_the_plain_form_in_any_chunks(
    transform: LogitTransform, chunk_elements: int, block_elements: int
) -> None:
    hidden, weight, bias, targets = _inputs()
    upstream = torch.linspace(-1, 2, 7, dtype=torch.float64)
    got = projected_logprobs(
        hidden,
        weight,
        bias,
        targets,
        transform=transform,
        chunk_elements=chunk_elements,
        block_elements=block_elements,
    )
    plain = logprobs_of(transform(hidden @ weight.T + bias), targets=targets)
    torch.testing.assert_close(got, plain)
    expected = torch.autograd.grad((plain * upstream).sum(), (hidden, weight, bias))
    # The second pass finds nothing that was kept, and computes it again.
    for retain in (True, False):
        found = torch.autograd.grad((got * upstream).sum(), (hidden, weight, bias), retain_graph=retain)
        torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("transform", TRANSFORMS)
@pytest.mark.parametrize("block_elements", [9, 2**24])
@pytest.mark.parametrize("trained", [(0,), (1,), (2,), (0, 1), (0, 2), (1, 2), (0, 1, 2)])
def test_the_gradient_of_any_trained_part_passes_gradcheck(
    trained: tuple[int, ...], block_elements: int, transform: LogitTransform
) -> None:
    *inputs, targets = _inputs()
    for index, value in enumerate(inputs):
        value.requires_grad_(index in trained)

    def project(*parts: torch.Tensor) -> torch.Tensor:
        sizes = {"chunk_elements": 46, "block_elements": block_elements}
        return projected_logprobs(*parts, targets, transform=transform, **sizes)

    assert torch.autograd.gradcheck(project, inputs)


@pytest.mark.parametrize("trained", ["hidden", "all"])
def test_no_tensor_is_larger_than_a_block_and_no_more_than_a_chunk_waits(trained: str) -> None:
    hidden, weight, bias, targets = (x.detach() for x in _inputs(num_targets=600, vocab=50))
    for value in (hidden,) if trained == "hidden" else (hidden, weight, bias):
        value.requires_grad_()
    with _LargestTensor() as mode:
        got = projected_logprobs(
            hidden, weight, bias, targets, transform=LogitTransform(), chunk_elements=20_000, block_elements=4000
        )
        waiting = [_waiting(softmax) for softmax in getattr(got.grad_fn, "softmaxes", [])]
        assert waiting == ([] if trained == "hidden" else [0, 20_000])
        got.sum().backward()
    assert 0 < mode.elements <= 4000


def _waiting(softmax: Any) -> int:
    return sum(exponentials.numel() for exponentials, *_ in softmax._kept)


class _LargestTensor(TorchDispatchMode):
    """Notes the number of elements of the largest tensor that an operation returns."""

    elements = 0

    def __torch_dispatch__(self, func: object, types: object, args: tuple = (), kwargs: dict | None = None) -> object:
        result = func(*args, **(kwargs or {}))
        if isinstance(result, torch.Tensor):
            self.elements = max(self.elements, result.numel())
        return result


def test_without_gradients_nothing_is_kept() -> None:
    hidden, weight, bias, targets = _inputs()
    with torch.no_grad():
        got = projected_logprobs(hidden, weight, bias, targets, transform=LogitTransform())
    assert got.grad_fn is None
    torch.testing.assert_close(got, logprobs_of(hidden @ weight.T + bias, targets=targets).detach())


def test_no_targets_give_no_logprobs_and_zero_gradients() -> None:
    hidden, weight, bias, targets = _inputs()
    got = projected_logprobs(hidden[:0], weight, bias, targets[:0], transform=LogitTransform())
    assert got.shape == (0,)
    assert not torch.autograd.grad(got.sum(), weight)[0].any()


def test_the_softmax_of_bfloat16_logits_is_taken_in_float32() -> None:
    hidden, weight, _, targets = _inputs(num_targets=64, vocab=512, dim=16)
    half = [x.detach().bfloat16() for x in (hidden, weight)]
    got = projected_logprobs(*half, None, targets, transform=LogitTransform())
    exact = logprobs_of((half[0] @ half[1].T).double(), targets=targets)
    assert got.dtype == torch.float32
    assert float((got - exact).abs().sum()) < 0.01


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("frozen", [False, True])
@pytest.mark.parametrize("sizes", [{}, {"chunk_elements": 140_000, "block_elements": 40_000}], ids=["whole", "cut"])
def test_gradients_in_16_bits_are_those_of_float32_but_for_rounding(
    dtype: torch.dtype, frozen: bool, sizes: dict[str, int]
) -> None:
    # The exponentials of a flat softmax over this vocabulary add up to more than the largest float16.
    hidden, weight, _, targets = _inputs(num_targets=6, vocab=70_000, dim=4)
    half = [(x.detach() / 8).to(dtype).requires_grad_() for x in (hidden, weight)]
    exact = [x.detach().double().requires_grad_() for x in half]
    half[1].requires_grad_(not frozen)
    projected_logprobs(*half, None, targets, transform=LogitTransform(), **sizes).sum().backward()
    logprobs_of(exact[0] @ exact[1].T, targets=targets).sum().backward()
    for got, expected in zip(half[:1] if frozen else half, exact, strict=False):
        assert got.grad is not None
        torch.testing.assert_close(got.grad.double(), expected.grad, rtol=0.01, atol=2e-3)


@pytest.mark.parametrize("bias", [-math.inf, -200.0])
@pytest.mark.parametrize("trained", [True, False])
def test_a_block_of_tokens_that_cannot_be_leaves_the_others_alone(bias: float, trained: bool) -> None:
    hidden, weight, shift, targets = _inputs(vocab=12)
    shift = shift.detach().clone()
    shift[8:] = bias  # the last of three blocks
    weight.requires_grad_(trained)
    sizes = {"chunk_elements": 2**10, "block_elements": 4 * len(targets)}
    got = projected_logprobs(hidden, weight, shift, targets % 8, transform=LogitTransform(), **sizes)
    plain = logprobs_of(hidden @ weight.T + shift, targets=targets % 8)
    torch.testing.assert_close(got, plain)
    inputs = (hidden, weight) if trained else (hidden,)
    expected = torch.autograd.grad(plain.sum(), inputs)
    torch.testing.assert_close(torch.autograd.grad(got.sum(), inputs), expected)


def test_the_backward_pass_holds_little_more_than_a_chunk() -> None:
    hidden, weight, _, targets = _inputs(num_targets=2000, vocab=500)
    with LiveMemory() as memory:
        got = projected_logprobs(
            hidden, weight, None, targets, transform=LogitTransform(), chunk_elements=100_000, block_elements=100_000
        )
        assert memory.now < 1.2 * 100_000 * 8
        got.sum().backward()
    assert memory.peak < 1.4 * 100_000 * 8
