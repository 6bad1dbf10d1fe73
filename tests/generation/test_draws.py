"""Sampling settings, seeded uniforms, and drawing tokens from logits."""

import math

import pytest
import torch
from transformers import TopPLogitsWarper

from lit_align.errors import ConfigError
from lit_align.generation.base import Sampling
from lit_align.generation.sampling import NOT_FINITE, draw, keep_nucleus, uniforms

LOGITS = torch.tensor([2.0, 1.0, 0.0, -1.0, -math.inf, 0.5])


@pytest.mark.parametrize(
    "bad",
    [
        {"num_samples": 0},
        {"max_new_tokens": 0},
        {"temperature": -0.1},
        {"temperature": math.nan},
        {"top_p": 0.0},
        {"top_p": 1.1},
        {"num_samples": 2, "temperature": 0.0},
    ],
)
def test_settings_that_cannot_be_meant_are_refused(bad):
    with pytest.raises(ConfigError, match=next(iter(bad))):
        Sampling(**bad)


def test_seeds_differ_by_seed_key_and_index_and_by_nothing_else():
    seeds = [Sampling(seed=s, num_samples=3).seed_of(key, k) for s in (0, 1) for key in "ab" for k in range(3)]
    assert len(set(seeds)) == 12
    assert all(0 <= seed < 2**53 for seed in seeds)
    assert Sampling(seed=1, temperature=0.3, top_p=0.5).seed_of("b", 2) == seeds[-1]


def test_uniforms_are_the_same_on_every_machine():
    assert uniforms([0], 3).tolist() == [[0.011546754286331451, 0.24154919656271812, 0.11142585551493811]]


def test_uniforms_of_different_seeds_look_independent():
    drawn = uniforms(range(2000), 8)
    assert abs(float(drawn.mean()) - 0.5) < 0.01
    assert float(torch.corrcoef(drawn.T).fill_diagonal_(0).abs().max()) < 0.1


@pytest.mark.parametrize(("temperature", "top_p"), [(1.0, 1.0), (0.5, 1.0), (2.0, 0.7)])
def test_frequencies_follow_the_tempered_and_cut_distribution(temperature, top_p):
    number = 40_000
    drawn = draw(
        LOGITS.expand(number, -1),
        uniforms([3], number)[0],
        sampling=Sampling(temperature=temperature, top_p=top_p),
    )
    scores = LOGITS[None] / temperature
    scores = TopPLogitsWarper(top_p)(None, scores) if top_p < 1 else scores
    expected = scores.softmax(-1)[0]
    frequencies = torch.bincount(drawn, minlength=len(LOGITS)) / number
    assert torch.all(frequencies[expected == 0] == 0)
    torch.testing.assert_close(frequencies, expected, atol=4 * 0.5 / math.sqrt(number), rtol=0)


def test_nucleus_is_that_of_transformers():
    weights = torch.rand(200, 50, generator=torch.Generator().manual_seed(0))
    for top_p in (0.01, 0.3, 0.9, 0.999):
        kept = TopPLogitsWarper(top_p)(None, weights.log()).isfinite()
        assert torch.equal(keep_nucleus(weights, top_p) > 0, kept)


def test_tokens_tied_with_the_last_one_of_the_nucleus_stay():
    weights = torch.tensor([[0.4, 0.2, 0.2, 0.2, 0.1]])
    assert (keep_nucleus(weights, 0.5) > 0).tolist() == [[True, True, True, True, False]]


@pytest.mark.parametrize("u", [0.0, 1.0 - 2.0**-52])
def test_the_extreme_uniforms_draw_possible_tokens(u):
    logits = torch.tensor([[-math.inf, 3.0, -200.0, 1.0, -math.inf]])
    drawn = draw(logits, torch.tensor([u], dtype=torch.float64), sampling=Sampling())
    assert drawn.item() == (1 if u == 0 else 3)


def test_tiny_temperatures_take_the_likeliest_token():
    chances = uniforms([0], 100)[0]
    assert set(draw(LOGITS.expand(100, -1), chances, sampling=Sampling(temperature=1e-30)).tolist()) == {0}


def test_bfloat16_logits_are_summed_exactly_enough_to_reach_the_last_tokens():
    logits = torch.zeros(1000, 5000, dtype=torch.bfloat16)
    drawn = draw(logits, uniforms([1], 1000)[0], sampling=Sampling())
    assert drawn.max() > 4950
    assert drawn.min() < 50


@pytest.mark.parametrize("bad", [math.nan, math.inf])
@pytest.mark.parametrize("chance", [None, torch.tensor([0.5, 0.5], dtype=torch.float64)])
def test_logits_that_are_not_finite_are_reported_by_row(bad, chance):
    logits = torch.tensor([[0.0, 1.0], [0.0, bad]])
    assert (draw(logits, chance, sampling=Sampling()) == NOT_FINITE).tolist() == [False, True]
