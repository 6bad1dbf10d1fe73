"""The losses against numbers that were computed in numpy from the formulas and cross-checked with peers' code."""

import json
from pathlib import Path

import pytest
import torch
from torch import Tensor

from lit_align.losses import (
    REWARD_WEIGHTS,
    Reduction,
    dpo_loss,
    logprobs_of,
    nll,
    present,
    regression_loss,
    response_nll,
    rpo_loss,
    rpo_reverse_loss,
    rpo_squared_loss,
    weighted_reward,
)

VECTORS = json.loads((Path(__file__).parent / "vectors.json").read_text())
RPO = {"bwd_kl": rpo_loss, "fwd_kl": rpo_reverse_loss, "squared": rpo_squared_loss}

pytestmark = pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=str)


def assert_equal(actual: Tensor | None, expected: object) -> None:
    assert actual is not None
    tolerance = 1e-10 if actual.dtype == torch.float64 else 2e-6
    torch.testing.assert_close(actual, torch.tensor(expected, dtype=actual.dtype), rtol=tolerance, atol=tolerance)


def tensors(entry: str, dtype: torch.dtype) -> dict[str, Tensor]:
    return {name: torch.tensor(value, dtype=dtype) for name, value in VECTORS[entry]["inputs"].items()}


def by_response(values: Tensor, mask: Tensor, reduction: Reduction = "sum") -> Tensor:
    """Log-probability of each padded row, through the packed layout: cells outside the mask never enter."""
    keep = mask.bool()
    index = keep.nonzero()[:, 0]
    return -response_nll(logprobs=values[keep], response_index=index, num_responses=len(values), reduction=reduction)


def log_ratios(inputs: dict[str, Tensor], reduction: Reduction = "sum", mask: str = "mask") -> tuple[Tensor, Tensor]:
    def ratio(side: str) -> Tensor:
        difference = inputs[f"policy_{side}_token_logps"] - inputs[f"ref_{side}_token_logps"]
        return by_response(difference, inputs[f"{side}_{mask}"], reduction)

    return ratio("chosen"), ratio("rejected")


def test_sft_is_a_token_mean_over_the_global_batch(dtype: torch.dtype) -> None:
    entry = "sft_token_mean_two_microbatches"
    inputs, expected = tensors(entry, dtype), VECTORS[entry]["expected"]
    micro = [nll(-inputs[f"nll_mb{i}"][inputs[f"mask_mb{i}"].bool()]) for i in (1, 2)]
    num_tokens = sum(len(values) for values in micro)

    contributions = torch.stack([values.sum() / num_tokens for values in micro])
    assert_equal(contributions, expected["contributions"])
    assert_equal(contributions.sum(), expected["global_loss"])
    assert_equal(2 * contributions, expected["ddp_world2_rank_losses"])

    sequences = [(inputs[f"nll_mb{i}"], inputs[f"mask_mb{i}"]) for i in (1, 2)]
    per_sequence = torch.cat([by_response(values, mask, "mean") for values, mask in sequences])
    assert_equal(per_sequence.mean(), expected["per_sequence_mean"])


def test_sft_reads_the_assistants_tokens_after_the_causal_shift(dtype: torch.dtype) -> None:
    entry = "sft_assistant_only_shift"
    expected = VECTORS[entry]["expected"]
    logits = tensors(entry, dtype)["logits"][:, :-1]
    labels = torch.tensor(VECTORS[entry]["inputs"]["labels"])[:, 1:]
    keep = labels != -100

    losses = nll(logprobs_of(logits[keep], targets=labels[keep]))
    assert len(losses) == expected["n_tokens"]
    assert_equal(losses.sum(), expected["nll_sum"])
    assert_equal(losses.mean(), expected["token_mean"])
    rows = response_nll(logprobs=-losses, response_index=keep.nonzero()[:, 0], num_responses=2, reduction="mean")
    assert_equal(rows, expected["per_row_mean"])


def test_regression_divides_by_the_labels_present_in_the_global_batch(dtype: torch.dtype) -> None:
    entry = "regression_mse_missing"
    inputs, expected = tensors(entry, dtype), VECTORS[entry]["expected"]
    ratings = inputs["labels"].masked_fill(inputs["labels"] == VECTORS[entry]["params"]["mask_value"], torch.nan)
    predictions = inputs["pred"].requires_grad_()
    num_labels = present(ratings).sum()

    loss = regression_loss(predictions, ratings=ratings).sum() / num_labels
    loss.backward()
    assert num_labels == expected["n_present"]
    assert_equal(loss.detach(), expected["loss_global"])
    assert_equal(predictions.grad, expected["grad_global"])
    halves = [regression_loss(predictions[i : i + 2], ratings=ratings[i : i + 2]).sum() / num_labels for i in (0, 2)]
    assert_equal(torch.stack(halves).sum().detach(), expected["loss_global"])


def test_weighted_reward_uses_the_published_weights(dtype: torch.dtype) -> None:
    expected = VECTORS["attribute_goodness"]["expected"]
    attributes = tensors("attribute_goodness", dtype)["pred"]
    names = {
        "nemotron4_340b_reward": "nemotron4_340b_reward",
        "llama3_70b_steerlm": "llama3_70b_steerlm_rm",
        "helpsteer2_goodness": "helpsteer2_alignment_runs",
    }
    assert list(REWARD_WEIGHTS) == list(names)
    for name, entry in names.items():
        weights = torch.tensor(list(REWARD_WEIGHTS[name].values()), dtype=dtype)
        assert_equal(weighted_reward(attributes, weights=weights), expected[entry])


def test_dpo_from_token_sums(dtype: torch.dtype) -> None:
    entry = "dpo_sigmoid_beta0.1"
    inputs, expected = tensors(entry, dtype), VECTORS[entry]["expected"]
    beta = VECTORS[entry]["params"]["beta"]
    sums = {}
    for model in ("policy", "ref"):
        for side in ("chosen", "rejected"):
            sums[model, side] = by_response(inputs[f"{model}_{side}_token_logps"], inputs[f"{side}_mask"])
            assert_equal(sums[model, side], expected[f"{model}_{side}_seq_logps"])

    chosen, rejected = sums["policy", "chosen"].requires_grad_(), sums["policy", "rejected"].requires_grad_()
    rewards = beta * (chosen - sums["ref", "chosen"]), beta * (rejected - sums["ref", "rejected"])
    losses = dpo_loss(implicit_margin=rewards[0] - rewards[1])
    losses.mean().backward()
    assert_equal(rewards[0].detach(), expected["rewards_chosen"])
    assert_equal(rewards[1].detach(), expected["rewards_rejected"])
    assert_equal(losses.detach(), expected["per_pair_loss"])
    assert_equal(losses.mean().detach(), expected["loss"])
    assert_equal(chosen.grad, expected["grad_policy_chosen_seq"])
    assert_equal(rejected.grad, expected["grad_policy_rejected_seq"])


def test_dpo_from_token_means(dtype: torch.dtype) -> None:
    entry = "dpo_sigmoid_length_averaged"
    inputs, expected = tensors(entry, dtype), VECTORS[entry]["expected"]
    chosen, rejected = log_ratios(inputs, reduction="mean")
    assert_equal(chosen - rejected, expected["delta"])
    losses = dpo_loss(implicit_margin=VECTORS[entry]["params"]["beta"] * (chosen - rejected))
    assert_equal(losses, expected["per_pair_loss"])
    assert_equal(losses.mean(), expected["loss"])


def test_the_sft_term_has_three_normalisations(dtype: torch.dtype) -> None:
    inputs, expected = tensors("dpo_plus_sft", dtype), VECTORS["dpo_plus_sft"]["expected"]
    params = VECTORS["dpo_plus_sft"]["params"]
    chosen, rejected = log_ratios(inputs)
    dpo = dpo_loss(implicit_margin=params["beta"] * (chosen - rejected)).mean()
    logprobs, mask = inputs["policy_chosen_token_logps"], inputs["chosen_mask"]

    total = -by_response(logprobs, mask, "sum").mean()
    mean = -by_response(logprobs, mask, "mean").mean()
    token = nll(logprobs[mask.bool()]).mean()
    assert_equal(dpo, expected["dpo_loss"])
    assert_equal(total, expected["nll_seq_sum_pair_mean"])
    assert_equal(mean, expected["nll_seq_mean_pair_mean"])
    assert_equal(token, expected["nll_token_mean_over_batch"])
    assert_equal(dpo + params["w_nemotron"] * total, expected["total_seq_sum_w1e_3"])
    assert_equal(dpo + params["w_llama3"] * mean, expected["total_seq_mean_w0_2"])
    assert_equal(dpo + params["w_llama3"] * token, expected["total_token_mean_w0_2"])


def test_llama3_leaves_format_tokens_out_of_the_preference_term_alone(dtype: torch.dtype) -> None:
    entry = "dpo_llama3_format_mask_plus_nll"
    inputs, expected, params = tensors(entry, dtype), VECTORS[entry]["expected"], VECTORS[entry]["params"]
    chosen, rejected = log_ratios(inputs, mask="preference_mask")
    losses = dpo_loss(implicit_margin=params["beta"] * (chosen - rejected))
    likelihood = -by_response(inputs["policy_chosen_token_logps"], inputs["chosen_mask"], "mean").mean()
    assert_equal(chosen - rejected, expected["delta"])
    assert_equal(losses, expected["per_pair_dpo"])
    assert_equal(losses.mean(), expected["dpo_loss"])
    assert_equal(likelihood, expected["nll"])
    assert_equal(losses.mean() + params["nll_coef"] * likelihood, expected["loss"])


@pytest.mark.parametrize("distance", RPO)
@pytest.mark.parametrize("entry", ["rpo_beta0.1_eta1.0", "rpo_beta1.0_eta1.0"])
def test_rpo_in_its_three_distances(entry: str, distance: str, dtype: torch.dtype) -> None:
    inputs, expected, params = tensors(entry, dtype), VECTORS[entry]["expected"], VECTORS[entry]["params"]
    chosen, rejected = log_ratios(inputs)
    delta = (chosen - rejected).requires_grad_()
    margin = params["beta"] * delta
    reward_margin = params["eta"] * (inputs["chosen_rewards"] - inputs["rejected_rewards"])
    assert_equal(margin.detach(), expected["a"])
    assert_equal(reward_margin, expected["b"])

    losses = RPO[distance](implicit_margin=margin, reward_margin=reward_margin)
    losses.mean().backward()
    assert_equal(losses.detach(), expected[f"{distance}_per_pair"])
    assert_equal(losses.mean().detach(), expected[distance])
    assert_equal(delta.grad, expected[f"{distance}_grad_delta"])


def test_rpo_has_its_relatives_as_special_cases(dtype: torch.dtype) -> None:
    inputs, expected = tensors("rpo_identities", dtype), VECTORS["rpo_identities"]["expected"]
    params = VECTORS["rpo_identities"]["params"]
    chosen, rejected = log_ratios(inputs)
    margin, zeros = params["beta"] * (chosen - rejected), torch.zeros(3, dtype=dtype)

    def rpo(reward_margin: float, implicit_margin: Tensor = margin) -> Tensor:
        target = torch.full_like(implicit_margin, reward_margin)
        return rpo_loss(implicit_margin=implicit_margin, reward_margin=target).mean()

    odds = torch.tensor(1 - params["eps"], dtype=torch.float64).logit().item()
    half = torch.full_like(margin, 0.5)
    ipo = rpo_squared_loss(implicit_margin=params["tau"] * (chosen - rejected), reward_margin=half).mean()
    assert_equal(dpo_loss(implicit_margin=margin).mean(), expected["dpo"])
    assert_equal(rpo(params["big_b"]), expected["dpo_limit_bwd_kl_at_b40"])
    assert_equal(rpo(odds), expected["cdpo_minus_entropy"])
    assert_equal(ipo / params["tau"] ** 2, expected["ipo"])
    assert_equal(dpo_loss(implicit_margin=zeros).mean(), expected["at_init_dpo"])
    assert_equal(rpo(1.0, zeros), expected["at_init_bwd_kl_b1"])
