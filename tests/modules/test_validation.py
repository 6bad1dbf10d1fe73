"""Validation during training: between steps, never within one."""

import pytest
from lightning.pytorch import Callback, Trainer


class Places(Callback):
    """The micro-batches of the epoch after which validation began."""

    def __init__(self):
        self.places = []

    def on_validation_start(self, trainer, pl_module):
        self.places.append(trainer.fit_loop.epoch_loop.batch_idx + 1)


@pytest.mark.parametrize(("interval", "places"), [(0.25, [4, 8, 12, 16, 20]), (0.5, [8, 16]), (7, [4, 8, 12, 16, 20])])
def test_a_share_of_an_epoch_is_a_whole_number_of_steps(interval, places, make_module, make_data, tmp_path):
    # 36 training rows are 5 steps of 8, each of 4 micro-batches; a quarter of an epoch would be 5 micro-batches.
    seen = Places()
    trainer = Trainer(
        accelerator="cpu",
        max_epochs=1,
        accumulate_grad_batches=4,
        val_check_interval=interval,
        num_sanity_val_steps=0,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        callbacks=[seen],
        default_root_dir=str(tmp_path),
        use_distributed_sampler=False,
    )
    trainer.fit(make_module("SFT"), datamodule=make_data("SFT", validation_fraction=0.1))
    assert trainer.global_step == 5
    assert seen.places == places
