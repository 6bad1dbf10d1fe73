"""A run in MLflow names its rows and its model."""

from pathlib import Path

import pytest

from lit_align.cli.lightning import main

_LLAMA = (
    '{"model_type": "llama", "vocab_size": 36, "hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, '
    '"num_attention_heads": 2, "max_position_embeddings": 64, "bos_token_id": 2, "eos_token_id": 3}'
)


def test_a_fit_logs_its_rows_with_digests_and_where_its_model_lies(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import json

    from mlflow import MlflowClient

    from lit_align.synthesis.toy import build_tokenizer, sample_tasks

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["lit-align"])
    build_tokenizer("tokenizer")
    rows = [{"prompt": task.prompt, "response": task.answer} for task in sample_tasks(30, seed=0)]
    Path("rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    options = {
        "--model": "SFT",
        "--model.policy": "HFBackbone",
        "--model.policy.config": _LLAMA,
        "--model.policy.tokenizer": "tokenizer",
        "--data": "SFTData",
        "--data.train": "rows.jsonl",
        "--data.validation_fraction": "0.2",
        "--trainer.max_steps": "2",
        "--trainer.default_root_dir": "out",
        "--trainer.enable_progress_bar": "false",
        "--tracking_uri": f"sqlite:///{tmp_path}/mlflow.db",
    }
    assert main(["fit", *(word for pair in options.items() for word in pair)]) == 0
    client = MlflowClient(f"sqlite:///{tmp_path}/mlflow.db")
    (run,) = client.search_runs([experiment.experiment_id for experiment in client.search_experiments()])
    inputs = {given.dataset.name: given.dataset.digest for given in run.inputs.dataset_inputs}
    assert inputs.keys() == {"sft train", "sft validation"}
    assert len(set(inputs.values())) == 2
    assert run.data.tags["lit_align.folder.model"] == str(tmp_path / "out" / "model")
    assert {"config.yaml", "train_rows.json"} <= {artifact.path for artifact in client.list_artifacts(run.info.run_id)}
