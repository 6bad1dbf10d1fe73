"""Chunked projection against the plain log-softmax."""

import pytest
import torch

from lit_align.losses import logprobs_of
from lit_align.models.projection import LogitTransform, projected_logprobs


def _inputs(num_targets: int = 7, vocab: int = 11, dim: int = 5) -> tuple[torch.Tensor, ...]:
    draw = torch.Generator().manual_seed(0)
    hidden = torch.randn(num_targets, dim, generator=draw, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(vocab, dim, generator=draw, dtype=torch.float64, requires_grad=True)
    bias = torch.randn(vocab, generator=draw, dtype=torch.float64, requires_grad=True)
    return hidden, weight, bias, torch.randint(0, vocab, (num_targets,), generator=draw)


@pytest.mark.parametrize("transform", [LogitTransform(), LogitTransform(scale=0.25, softcap=3.0)])
@pytest.mark.parametrize("chunk_elements", [1, 23, 2**24])
def test_values_and_gradients_equal_the_plain_form_in_any_chunks(
    transform: LogitTransform, chunk_elements: int
) -> None:
    hidden, weight, bias, targets = _inputs()
    upstream = torch.linspace(-1, 2, 7, dtype=torch.float64)
    got = projected_logprobs(hidden, weight, bias, targets, transform=transform, chunk_elements=chunk_elements)
    plain = logprobs_of(transform(hidden @ weight.T + bias), targets=targets)
    torch.testing.assert_close(got, plain)
    for a, b in zip(
        torch.autograd.grad((got * upstream).sum(), (hidden, weight, bias)),
        torch.autograd.grad((plain * upstream).sum(), (hidden, weight, bias)),
        strict=True,
    ):
        torch.testing.assert_close(a, b)


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
