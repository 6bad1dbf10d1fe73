"""Closed forms, limits, gradients and extremes of the preference losses."""

from collections.abc import Callable

import jaxtyping
import pytest
import torch
from torch import Tensor
from torch.distributions import Bernoulli, kl_divergence

from lit_align.losses import dpo_loss, rpo_loss, rpo_reverse_loss, rpo_squared_loss

RPO = [rpo_loss, rpo_reverse_loss, rpo_squared_loss]


def bernoulli(margin: Tensor) -> Bernoulli:
    return Bernoulli(logits=margin)


@pytest.fixture
def margins() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    implicit, reward = 3 * torch.randn(2, 64, dtype=torch.float64, generator=generator)
    return implicit.requires_grad_(), reward


def gradient(loss: Callable[..., Tensor], implicit: Tensor, reward: Tensor) -> Tensor:
    value = loss(implicit_margin=implicit, reward_margin=reward).sum()
    return torch.autograd.grad(value, implicit)[0]


def test_dpo_is_the_negative_log_sigmoid_of_the_margin(margins: tuple[Tensor, Tensor]) -> None:
    implicit, _ = margins
    torch.testing.assert_close(dpo_loss(implicit_margin=implicit), (1 + (-implicit).exp()).log())


def test_dpo_pulls_with_the_probability_of_being_wrong(margins: tuple[Tensor, Tensor]) -> None:
    implicit, _ = margins
    (actual,) = torch.autograd.grad(dpo_loss(implicit_margin=implicit).sum(), implicit)
    torch.testing.assert_close(actual, -(-implicit).sigmoid())


def test_rpo_is_the_divergence_of_the_policy_from_the_reward_model(margins: tuple[Tensor, Tensor]) -> None:
    implicit, reward = margins
    expected = kl_divergence(bernoulli(reward), bernoulli(implicit))
    torch.testing.assert_close(rpo_loss(implicit_margin=implicit, reward_margin=reward), expected)


def test_reverse_rpo_exchanges_the_two(margins: tuple[Tensor, Tensor]) -> None:
    implicit, reward = margins
    expected = kl_divergence(bernoulli(implicit), bernoulli(reward))
    torch.testing.assert_close(rpo_reverse_loss(implicit_margin=implicit, reward_margin=reward), expected)


def test_rpo_gradient_is_the_difference_of_preferences(margins: tuple[Tensor, Tensor]) -> None:
    implicit, reward = margins
    torch.testing.assert_close(gradient(rpo_loss, *margins), implicit.sigmoid() - reward.sigmoid())


def test_reverse_rpo_gradient_fades_on_a_saturated_policy(margins: tuple[Tensor, Tensor]) -> None:
    implicit, reward = margins
    expected = implicit.sigmoid() * (-implicit).sigmoid() * (implicit - reward)
    torch.testing.assert_close(gradient(rpo_reverse_loss, *margins), expected)


def test_squared_rpo_gradient_grows_with_the_error(margins: tuple[Tensor, Tensor]) -> None:
    implicit, reward = margins
    torch.testing.assert_close(gradient(rpo_squared_loss, *margins), 2 * (implicit - reward))


def test_rpo_tends_to_dpo_as_the_reward_margin_grows(margins: tuple[Tensor, Tensor]) -> None:
    implicit, reward = margins
    far = torch.full_like(reward, 60.0)
    actual = rpo_loss(implicit_margin=implicit, reward_margin=far)
    torch.testing.assert_close(actual, dpo_loss(implicit_margin=implicit), rtol=0, atol=1e-12)


@pytest.mark.parametrize("loss", RPO)
def test_rpo_is_zero_with_zero_gradient_where_the_margins_agree(loss: Callable[..., Tensor]) -> None:
    margin = torch.tensor([-1e4, -60.0, -1.0, 0.0, 1.0, 60.0, 1e4], requires_grad=True)
    assert (loss(implicit_margin=margin, reward_margin=margin.detach()) == 0).all()
    assert gradient(loss, margin, margin.detach()).abs().max() < 1e-7


@pytest.mark.parametrize("loss", RPO)
def test_rpo_grows_with_the_distance_on_either_side(loss: Callable[..., Tensor]) -> None:
    implicit = torch.linspace(-6, 6, 49, dtype=torch.float64)
    values = loss(implicit_margin=implicit, reward_margin=torch.full_like(implicit, 1.5))
    best = int(values.argmin())
    assert implicit[best] == 1.5
    assert (values[:best].diff() < 0).all()
    assert (values[best:].diff() > 0).all()


@pytest.mark.parametrize("loss", RPO)
def test_swapping_chosen_and_rejected_leaves_rpo_unchanged(
    loss: Callable[..., Tensor], margins: tuple[Tensor, Tensor]
) -> None:
    implicit, reward = margins
    swapped = loss(implicit_margin=-implicit, reward_margin=-reward)
    torch.testing.assert_close(loss(implicit_margin=implicit, reward_margin=reward), swapped)


@pytest.mark.parametrize("loss", RPO)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_rpo_is_finite_with_its_gradients_far_out(loss: Callable[..., Tensor], dtype: torch.dtype) -> None:
    far = torch.tensor([-1e4, -88.0, 0.0, 88.0, 1e4], dtype=dtype)
    implicit, reward = (grid.flatten().requires_grad_() for grid in torch.meshgrid(far, far, indexing="ij"))
    value = loss(implicit_margin=implicit, reward_margin=reward)
    value.sum().backward()
    for tensor in (value, implicit.grad, reward.grad):
        assert tensor is not None
        assert tensor.isfinite().all()


def test_a_saturated_wrong_policy_is_pulled_at_full_strength() -> None:
    implicit, reward = torch.tensor([-1e4], requires_grad=True), torch.tensor([1e4])
    assert rpo_loss(implicit_margin=implicit, reward_margin=reward).item() == 1e4
    assert gradient(rpo_loss, implicit, reward).item() == -1.0


def test_dpo_is_finite_with_its_gradient_far_out() -> None:
    margin = torch.tensor([-1e4, 1e4], requires_grad=True)
    value = dpo_loss(implicit_margin=margin)
    value.sum().backward()
    assert margin.grad is not None
    assert value.tolist() == [1e4, 0.0]
    assert margin.grad.tolist() == [-1.0, 0.0]


def test_gradients_agree_with_finite_differences(margins: tuple[Tensor, Tensor]) -> None:
    implicit, reward = margins[0], margins[1].requires_grad_()
    assert torch.autograd.gradcheck(lambda m: dpo_loss(implicit_margin=m), implicit)
    for loss in RPO:
        assert torch.autograd.gradcheck(lambda m, r, f=loss: f(implicit_margin=m, reward_margin=r), (implicit, reward))


@pytest.mark.parametrize("loss", RPO)
def test_a_pairs_loss_does_not_depend_on_the_other_pairs(
    loss: Callable[..., Tensor], margins: tuple[Tensor, Tensor]
) -> None:
    implicit, reward = margins
    keep = torch.arange(64) % 3 == 0
    whole = loss(implicit_margin=implicit, reward_margin=reward)[keep]
    torch.testing.assert_close(loss(implicit_margin=implicit[keep], reward_margin=reward[keep]), whole)


@pytest.mark.parametrize("loss", RPO)
def test_mismatched_shapes_raise(loss: Callable[..., Tensor]) -> None:
    with pytest.raises(jaxtyping.TypeCheckError):
        loss(implicit_margin=torch.zeros(3), reward_margin=torch.zeros(1))


def test_no_pairs_give_no_losses() -> None:
    empty = torch.zeros(0)
    assert dpo_loss(implicit_margin=empty).sum() == 0
    assert rpo_loss(implicit_margin=empty, reward_margin=empty).sum() == 0
