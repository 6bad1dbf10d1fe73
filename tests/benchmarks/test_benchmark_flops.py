import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from benchmarks.flops import BACKWARD, Sizes, counted, needed
from lit_align.models.packing import Response, Tree, pack


@pytest.fixture
def model():
    config = LlamaConfig(
        vocab_size=40,
        hidden_size=16,
        intermediate_size=24,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        attn_implementation="eager",
    )
    return LlamaForCausalLM(config)


def test_the_count_is_that_of_torch_forward_and_backward(model):
    tokens = 7
    sizes = Sizes.of(model.config)
    expected = sizes.forward(tokens=tokens, pairs=tokens**2, targets=tokens)  # eager attention masks nothing away

    def step():
        model(input_ids=torch.arange(tokens)[None], use_cache=False).logits.sum().backward()
        return 0.0

    assert counted(step)[1] == expected * (1 + BACKWARD)


def test_attention_kernels_are_counted():
    query = torch.randn(1, 2, 5, 4, requires_grad=True)

    def step():
        torch.nn.functional.scaled_dot_product_attention(query, query, query, is_causal=True).sum().backward()
        return 0.0

    assert counted(step)[1] >= 3 * 4 * 5 * 5 * 2 * 4


def test_a_shared_prompt_counts_once_and_only_pairs_that_are_seen(model):
    sizes = Sizes.of(model.config)
    batch = pack([Tree(prompt=[1, 2, 3], responses=[Response(ids=[4, 5]), Response(ids=[6])])])
    seen = (1 + 2 + 3) + (4 + 5) + 4
    forward = sizes.forward(tokens=6, pairs=seen, targets=3)
    assert needed(sizes, batch, projected=True, reference=False) == 3 * forward
    assert needed(sizes, batch, projected=True, reference=True) == 4 * forward
    assert needed(sizes, batch, projected=False, reference=False) == 3 * sizes.forward(tokens=6, pairs=seen, targets=0)


def test_products_that_are_added_in_place_are_counted():
    total = torch.zeros(3, 5)
    assert counted(lambda: float(total.addmm_(torch.ones(3, 7), torch.ones(7, 5)).sum()))[1] == 2 * 3 * 7 * 5
