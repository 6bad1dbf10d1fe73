"""Training on a GPU as a user starts it: every attention with every option that changes how a step is computed."""

from collections.abc import Callable
from typing import Any

import pytest

pytestmark = pytest.mark.gpu

LLAMA = {
    "model_type": "llama",
    "vocab_size": 36,
    "hidden_size": 256,
    "intermediate_size": 512,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 64,
    "bos_token_id": 2,
    "eos_token_id": 3,
}


def _attention(name: str) -> Any:
    import lit_align_plugins
    from lit_align import Attention

    return Attention() if name == "Attention" else getattr(lit_align_plugins, name)()


@pytest.fixture
def losses(make_module: Callable, make_data: Callable, make_trainer: Callable, read_metrics_of: Callable) -> Callable:
    """Takes two steps of DPO on the GPU; gives their losses."""

    def of(name: str, *, plugins: list[Any] | None = None, precision: str | None = "bf16-mixed", **options: Any) -> Any:
        backbone = {"config": LLAMA, "attention": _attention(name), **options}
        module = make_module("DPO", backbone=backbone, reference_logprobs="online")
        how = {"precision": precision} if plugins is None else {"plugins": plugins}
        trainer = make_trainer(f"{name}-{options}-{precision}", accelerator="cuda", devices=1, max_steps=2, **how)
        trainer.fit(module, datamodule=make_data("DPO"))
        return [read_metrics_of(trainer, step)["train/loss"] for step in (1, 2)]

    return of


@pytest.mark.parametrize("name", ["Attention", "FlashAttention", "FlexAttention"])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"compile_layers": True},
        {"gradient_checkpointing": "selective"},
        {"gradient_checkpointing": True, "activation_offload": True},
    ],
    ids=str,
)
def test_two_steps_are_those_of_the_default(losses: Callable, name: str, options: dict[str, Any]) -> None:
    assert losses(name, **options) == pytest.approx(losses("Attention", precision="32-true"), abs=0.02)


@pytest.mark.parametrize("name", ["Attention", "FlashAttention"])
@pytest.mark.parametrize("recipe", ["tensorwise", "rowwise"])
def test_two_steps_in_float8(losses: Callable, name: str, recipe: str) -> None:
    from lit_align_plugins import Float8

    got = losses(name, plugins=[Float8(recipe)])  # type: ignore[arg-type]
    assert got == pytest.approx(losses("Attention", precision="32-true"), abs=0.1)


def test_float16_finds_its_scale(losses: Callable) -> None:
    assert losses("Attention", precision="16-mixed") == pytest.approx(
        losses("Attention", precision="32-true"), abs=0.02
    )
