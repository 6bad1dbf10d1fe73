"""Tells MLflow which rows a run reads, with a look at the first ones, and which model it leaves."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, final

from lightning.pytorch import Callback, LightningModule, Trainer

from lit_align.data.dataset import PackedDataset
from lit_align.data.encoding import EncodedRow
from lit_align.data.modules import AlignmentData
from lit_align.tracking import MLflowLogger, log_dataset, log_folder, log_table

_NUM_SHOWN = 20


@final
class TrackData(Callback):
    """Logs every split as a dataset input with its digest and a table of its first rows, and the model that came of it.

    Args:
        model: The folder that training leaves; only its place is logged.
    """

    def __init__(self, model: Path) -> None:
        self._model = model

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Called by Lightning when the data module has read its rows."""
        loggers = [logger for logger in trainer.loggers if isinstance(logger, MLflowLogger)]
        data = getattr(trainer, "datamodule", None)
        if not loggers or not trainer.is_global_zero or not isinstance(data, AlignmentData):
            return
        for split, dataset in data.datasets.items():
            for operation in _operations(data, split, dataset):
                for logger in loggers:
                    logger.submit(operation)

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Comes after `SaveModel`."""
        if self._model.is_dir():
            for logger in trainer.loggers:
                if isinstance(logger, MLflowLogger):
                    logger.submit(partial(log_folder, folder=self._model, name="model", upload=False))


def _operations(data: AlignmentData, split: str, dataset: PackedDataset) -> list[Callable[[Any], None]]:
    source = data.sources[split] or data.sources["train"]
    digest = dataset.fingerprint()
    rows = [_shown(data, row) for row in dataset.rows[:_NUM_SHOWN]]
    return [
        partial(
            log_dataset,
            path=str(source),
            name=f"{data.kind} {split}",
            context=split,
            digest=digest,
            num_rows=len(dataset),
        ),
        partial(log_table, rows=rows, name=f"{split}_rows"),
    ]


def _shown(data: AlignmentData, row: EncodedRow) -> dict[str, Any]:
    decode = data.chat.tokenizer.decode
    responses = {f"response_{index}": decode(list(r.ids)) for index, r in enumerate(row.tree.responses)}
    return {"place": row.place, "tokens": len(row.tree), "prompt": decode(list(row.tree.prompt)), **responses}
