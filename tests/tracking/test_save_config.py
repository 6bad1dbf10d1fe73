"""The saved config: complete, without secrets, replaced on the next run, and in MLflow too."""

from pathlib import Path

import yaml
from lightning.pytorch.cli import LightningCLI
from lightning.pytorch.demos.boring_classes import BoringModel

from lit_align.tracking import MLflowLogger, SaveConfig
from lit_align.tracking.connection import Store


class SecretModel(BoringModel):
    """A model with a parameter that must not be stored."""

    def __init__(self, api_key: str = "canary-8472", num_tokens: int = 5) -> None:
        super().__init__()


def run_cli(store: Store, folder: Path, command: str, *args: str) -> LightningCLI:
    logger = {
        "class_path": "lit_align.tracking.MLflowLogger",
        "init_args": {"save_dir": str(folder), "tracking_uri": store.uri},
    }
    defaults = {
        "logger": logger, "default_root_dir": str(folder), "fast_dev_run": False, "max_steps": 1, "accelerator": "cpu",
        "limit_val_batches": 1, "enable_progress_bar": False, "enable_model_summary": False,
    }  # fmt: skip
    return LightningCLI(SecretModel, save_config_callback=SaveConfig, trainer_defaults=defaults, args=[command, *args])


def test_the_config_is_saved_beside_the_run_and_in_mlflow(store: Store, tmp_path: Path) -> None:
    run_cli(store, tmp_path, "fit")
    cli = run_cli(store, tmp_path, "fit", "--model.num_tokens", "7")
    config = yaml.safe_load((tmp_path / "config.yaml").read_text())
    assert config["model"] == {"api_key": "[redacted]", "num_tokens": 7}
    assert isinstance(cli.trainer.logger, MLflowLogger)
    client, run_id = store.connect()[0], cli.trainer.logger._choice._run.run_id
    params = client.get_run(run_id).data.params
    assert (params["model.api_key"], params["model.num_tokens"]) == ("[redacted]", "7")
    assert [file.path for file in client.list_artifacts(run_id)] == ["config.yaml"]


def test_validation_does_not_replace_the_config_of_the_fit(store: Store, tmp_path: Path) -> None:
    run_cli(store, tmp_path, "fit", "--model.num_tokens", "7")
    run_cli(store, tmp_path, "validate")
    assert yaml.safe_load((tmp_path / "config.yaml").read_text())["model"]["num_tokens"] == 7
    assert yaml.safe_load((tmp_path / "config.validate.yaml").read_text())["model"]["num_tokens"] == 5
