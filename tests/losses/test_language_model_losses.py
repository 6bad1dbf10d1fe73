"""Closed forms, gradients and extremes of the language-model losses."""

import jaxtyping
import pytest
import torch

from lit_align.losses import Reduction, logprobs_of, nll, response_nll

LOGPROBS = torch.tensor([-0.5, -1.0, -2.0, -4.0], dtype=torch.float64)
INDEX = torch.tensor([2, 0, 2, 2])


def test_logprobs_are_log_softmax_at_the_target() -> None:
    logits = torch.randn(5, 7, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    targets = torch.tensor([0, 6, 3, 3, 1])
    expected = logits.softmax(-1).log()[range(5), targets]
    torch.testing.assert_close(logprobs_of(logits, targets=targets), expected, rtol=0, atol=1e-12)


def test_logprobs_stay_finite_on_huge_logits() -> None:
    logits = torch.tensor([[1e4, -1e4, 0.0]], requires_grad=True)
    logprobs = logprobs_of(logits, targets=torch.tensor([1]))
    logprobs.sum().backward()
    assert logprobs.item() == -2e4
    assert logits.grad is not None
    assert logits.grad.isfinite().all()


def test_half_precision_logits_give_float32_logprobs() -> None:
    logits = torch.randn(3, 50, generator=torch.Generator().manual_seed(0)).bfloat16()
    targets = torch.tensor([0, 1, 2])
    logprobs = logprobs_of(logits, targets=targets)
    assert logprobs.dtype == torch.float32
    torch.testing.assert_close(logprobs, logprobs_of(logits.double(), targets=targets).float(), rtol=0, atol=1e-5)


def test_nll_is_the_negated_logprob() -> None:
    assert torch.equal(nll(LOGPROBS), -LOGPROBS)


def test_response_nll_sums_each_responses_tokens_in_any_order() -> None:
    total = response_nll(logprobs=LOGPROBS, response_index=INDEX, num_responses=3, reduction="sum")
    assert total.tolist() == [1.0, 0.0, 6.5]


def test_response_nll_averages_over_the_responses_own_tokens() -> None:
    mean = response_nll(logprobs=LOGPROBS, response_index=INDEX, num_responses=3, reduction="mean")
    assert mean.tolist() == [1.0, 0.0, 6.5 / 3]


def test_response_nll_of_no_tokens_is_zero_and_on_the_graph() -> None:
    logprobs = torch.zeros(0, requires_grad=True)
    index = torch.zeros(0, dtype=torch.long)
    value = response_nll(logprobs=logprobs, response_index=index, num_responses=2, reduction="mean")
    value.sum().backward()
    assert value.tolist() == [0.0, 0.0]


@pytest.mark.parametrize("reduction", ["sum", "mean"])
def test_response_nll_has_the_right_gradient(reduction: Reduction) -> None:
    def loss(logprobs: torch.Tensor) -> torch.Tensor:
        return response_nll(logprobs=logprobs, response_index=INDEX, num_responses=3, reduction=reduction)

    assert torch.autograd.gradcheck(loss, LOGPROBS.clone().requires_grad_())


def test_a_removed_token_and_a_token_of_another_response_are_the_same_to_a_response() -> None:
    kept = INDEX == 2
    alone = response_nll(logprobs=LOGPROBS[kept], response_index=INDEX[kept], num_responses=3, reduction="mean")
    together = response_nll(logprobs=LOGPROBS, response_index=INDEX, num_responses=3, reduction="mean")
    assert alone[2] == together[2]


def test_mismatched_shapes_raise() -> None:
    with pytest.raises(jaxtyping.TypeCheckError):
        logprobs_of(torch.zeros(2, 3), targets=torch.tensor([0]))
    with pytest.raises(jaxtyping.TypeCheckError):
        response_nll(logprobs=LOGPROBS, response_index=INDEX[:2], num_responses=3, reduction="sum")


def test_an_unknown_reduction_raises() -> None:
    with pytest.raises(jaxtyping.TypeCheckError):
        response_nll(logprobs=LOGPROBS, response_index=INDEX, num_responses=3, reduction="max")  # pyright: ignore[reportArgumentType]
