"""What `lit-align predict` writes: one JSON row a response, with what the module says of it."""

import heapq
import json
from collections.abc import Iterator, Mapping
from itertools import groupby
from pathlib import Path
from typing import IO, Any, final

from jaxtyping import Float
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor

from lit_align.announce import announce
from lit_align.errors import ConfigError
from lit_align.files import write_jsonl
from lit_align.models.batch import PackedBatch

Predictions = Mapping[str, Float[Tensor, " response"]]
"""Values of each response of a batch, by name."""


def response_logprobs(batch: PackedBatch, logprobs: Float[Tensor, " target"]) -> dict[str, Tensor]:
    """`logp`, each response's log-probability in nats, and `num_tokens`, the supervised tokens it is summed over."""
    return {"logp": batch.sum_by_response(logprobs.double()), "num_tokens": batch.tokens_by_response()}


@final
class PredictionWriter(Callback):
    """Writes the predictions of all ranks into one file, in the order of the rows, when all are there.

    A line names the `row` that was read (dropped rows are not counted), its `place` (`file:line`) and the `response`
    of the row, from 0; of a preference pair 0 is the chosen one.

    Args:
        path: The file, JSON lines.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._part: IO[str] | None = None

    def on_predict_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Opens the part of this rank."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._part = open(self._part_path(trainer.global_rank), "w", encoding="utf-8")  # noqa: SIM115

    def on_predict_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: PackedBatch,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Writes a batch's responses."""
        if not isinstance(outputs, Mapping):
            raise ConfigError(f"predict_step of {type(pl_module).__name__} must return values of responses by name")
        if self._part is None or not batch.num_responses:
            return
        columns = {name: value.tolist() for name, value in outputs.items()}
        for index, (row, response, place) in enumerate(_responses(trainer, batch)):
            values = {name: column[index] for name, column in columns.items()}
            line = {"row": row, "response": response, "place": place, **values}
            self._part.write(json.dumps(line, ensure_ascii=False) + "\n")

    def on_predict_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Joins the parts."""
        if self._part is not None:
            self._part.close()
        trainer.strategy.barrier("predictions")
        if not trainer.is_global_zero:
            return
        parts = [self._part_path(rank) for rank in range(trainer.world_size)]
        rows = heapq.merge(*map(_read, parts), key=lambda line: (line["row"], line["response"]))
        number = write_jsonl(self.path, rows)
        for part in parts:
            part.unlink()
        announce(f"{self.path}: predictions of {number} responses")

    def _part_path(self, rank: int) -> Path:
        return self.path.with_name(f".{self.path.name}.{rank}.part")


def _responses(trainer: Trainer, batch: PackedBatch) -> Iterator[tuple[int, int, str]]:
    """Row, number within the row, and place of each response of a batch."""
    rows = trainer.datamodule.datasets["predict"].rows  # type: ignore[attr-defined]  # of AlignmentData
    row_ids = batch.row_ids.tolist()
    for prompt, members in groupby(batch.prompt_index.tolist()):
        row = rows[row_ids[prompt]]
        for number, _ in enumerate(members):
            yield row_ids[prompt], number, row.places[number] if row.places else row.place


def _read(part: Path) -> Iterator[dict[str, Any]]:
    with open(part, encoding="utf-8") as file:
        for line in file:
            yield json.loads(line)
