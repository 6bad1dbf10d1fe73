"""What Lightning, autocast and loss scaling on a GPU would do to a module, tried without one."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from lightning.pytorch.plugins import MixedPrecision

from lit_align.models.attention import Attention


@pytest.mark.parametrize("objective", ["SFT", "DPO", "RewardRegression", "SoftLabelBradleyTerry"])
def test_models_are_drawn_on_the_cpu_wherever_lightning_makes_tensors(make_module: Callable, objective: str) -> None:
    options: dict[str, Any] = {"backbone": {"lora": None}}
    here, there = make_module(objective, **options), make_module(objective, **options)
    here.configure_model()
    with torch.device("meta"):
        there.configure_model()
    for (name, expected), got in zip(here.named_parameters(), there.parameters(), strict=True):
        assert torch.equal(expected, got), name


class Recording(Attention):
    """Notes the dtypes it is called with."""

    def __init__(self) -> None:
        super().__init__()
        self.dtypes: set[torch.dtype] = set()

    def forward(self, query: Any, key: Any, value: Any, **options: Any) -> Any:
        self.dtypes |= {query.dtype, key.dtype, value.dtype}
        return super().forward(query, key, value, **options)


def test_attention_gets_what_autocast_computes_in(make_module: Callable, make_data: Callable) -> None:
    attention = Recording()
    module = make_module("SFT", backbone={"attention": attention})
    module.configure_model()
    data = make_data("SFT", tokenizer=module.tokenizer_source)
    data.setup("fit")
    (batch, *_) = data.train_dataloader()
    module.policy.logprobs(batch)
    assert attention.dtypes == {torch.float32}
    attention.dtypes.clear()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        module.policy.logprobs(batch)
    assert attention.dtypes == {torch.bfloat16}


def test_a_loss_scaler_may_find_its_scale(make_module: Callable, make_data: Callable, make_trainer: Callable) -> None:
    module = make_module("SFT")
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**40)
    trainer = make_trainer(max_steps=40, max_epochs=-1, plugins=[MixedPrecision("16-mixed", "cpu", scaler)])
    module.configure_model()
    before = [parameter.detach().clone() for parameter in module.parameters()]
    trainer.fit(module, datamodule=make_data("SFT"))
    assert scaler.get_scale() < 2.0**40
    assert all(parameter.isfinite().all() for parameter in module.parameters())
    assert any(not torch.equal(a, b) for a, b in zip(before, module.parameters(), strict=True))
