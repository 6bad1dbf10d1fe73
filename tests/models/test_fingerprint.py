"""The fingerprint of a model: its weights and configuration, not its place or the time."""

import json
import os
import shutil

import pytest
import torch
from safetensors.torch import save_file

from lit_align.errors import ConfigError
from lit_align.models.fingerprint import model_fingerprint


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps({"hidden_size": 4, "transformers_version": "5.0"}))
    save_file({"weight": torch.arange(4.0)}, folder / "model.safetensors")
    return folder


def test_place_time_and_version_of_the_save_do_not_count(folder, tmp_path):
    before = model_fingerprint(folder)
    copy = shutil.copytree(folder, tmp_path / "elsewhere")
    os.utime(copy / "model.safetensors", (1, 1))
    (copy / "config.json").write_text(json.dumps({"transformers_version": "6.0", "hidden_size": 4}))
    (copy / "README.md").write_text("x")
    assert model_fingerprint(str(copy)) == before


def test_one_bit_of_the_weights_or_a_setting_counts(folder):
    seen = {model_fingerprint(folder)}
    save_file({"weight": torch.tensor([0.0, 1.0, 2.0, 3.0000002])}, folder / "model.safetensors")
    seen.add(model_fingerprint(folder))
    (folder / "config.json").write_text(json.dumps({"hidden_size": 8}))
    seen.add(model_fingerprint(folder))
    (folder / "reward_head.json").write_text("{}")
    seen.add(model_fingerprint(folder))
    assert len(seen) == 4


def test_a_folder_that_is_no_model_is_refused(folder):
    (folder / "model.safetensors").unlink()
    with pytest.raises(ConfigError, match=r"\*\.safetensors is missing"):
        model_fingerprint(folder)
    with pytest.raises(ConfigError, match="no such folder or hub id"):
        model_fingerprint("nobody/nothing")
