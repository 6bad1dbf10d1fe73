"""The data of each objective: demonstrations, ratings, preferences."""

import dataclasses
import math
from collections.abc import Sequence
from typing import final

import torch
from jaxtyping import Float
from torch import Tensor

from lit_align.announce import announce
from lit_align.data.encoding import EncodedRow, Overlong, group_by_prompt
from lit_align.data.modules import AlignmentData, Sources
from lit_align.data.records import HELPSTEER_ATTRIBUTES
from lit_align.data.sources import OnBad
from lit_align.errors import DataError
from lit_align.models.batch import PackedBatch, PreferenceBatch, RatingBatch
from lit_align.models.packing import pack


@final
class SFTData(AlignmentData):
    """Demonstrations: conversations whose assistant turns are learned, or raw text."""

    kind = "sft"

    def collate(self, rows: Sequence[EncodedRow], indices: Sequence[int]) -> PackedBatch:
        return pack([row.tree for row in rows], row_ids=indices)


@final
class RatingData(AlignmentData):
    """Rated responses; neighbouring rows with one prompt share its tokens.

    Args:
        attributes: Names of the ratings to learn, in the order of the reward head.
        lm_attribute: Responses rated highly in this attribute are what the language-model term learns from.
        lm_threshold: The lowest rating that counts as high, in the attribute's own units.
        train: See `AlignmentData`, as for the rest.
    """

    kind = "rating"

    def __init__(
        self,
        train: Sources | None = None,
        *,
        validation: Sources | None = None,
        test: Sources | None = None,
        predict: Sources | None = None,
        attributes: list[str] | None = None,
        lm_attribute: str = "helpfulness",
        lm_threshold: float = 3.5,
        validation_fraction: float = 0.0,
        tokenizer: str | None = None,
        template: str = "tokenizer",
        fold_system: bool = False,
        max_length: int | None = None,
        overlong: Overlong = "drop",
        on_bad: OnBad = "error",
        drop_policy: OnBad = "drop",
        allow_leaks: bool = False,
        global_batch_size: int = 64,
        evaluation_tokens: int = 8192,
        seed: int = 0,
        shuffle: bool = True,
        num_workers: int = 0,
    ) -> None:
        super().__init__(
            train,
            validation=validation,
            test=test,
            predict=predict,
            validation_fraction=validation_fraction,
            tokenizer=tokenizer,
            template=template,
            fold_system=fold_system,
            max_length=max_length,
            overlong=overlong,
            on_bad=on_bad,
            drop_policy=drop_policy,
            allow_leaks=allow_leaks,
            global_batch_size=global_batch_size,
            evaluation_tokens=evaluation_tokens,
            seed=seed,
            shuffle=shuffle,
            num_workers=num_workers,
        )
        self.attributes = tuple(attributes or HELPSTEER_ATTRIBUTES)
        self.lm_attribute = lm_attribute
        self.lm_threshold = lm_threshold

    def rating_attributes(self) -> Sequence[str]:
        return self.attributes

    def ratings(self, split: str) -> Float[Tensor, "response attribute"]:
        """All ratings of a split; NaN where one is missing."""
        rows = self.datasets[split].rows
        values = [[rating.get(name, math.nan) for name in self.attributes] for row in rows for rating in row.ratings]
        return torch.tensor(values, dtype=torch.float32).reshape(-1, len(self.attributes))

    def arrange(self, rows: list[EncodedRow]) -> list[EncodedRow]:
        grouped = group_by_prompt(rows)
        self._check_attributes(grouped)
        return [dataclasses.replace(row, counts={**row.counts, **self._label_counts(row)}) for row in grouped]

    def _check_attributes(self, rows: list[EncodedRow]) -> None:
        found = {name for row in rows for rating in row.ratings for name in rating}
        missing = [name for name in self.attributes if name not in found]
        if rows and missing:
            raise DataError(f"{rows[0].place}: no row rates {', '.join(missing)}\nfound: {', '.join(sorted(found))}")

    def _label_counts(self, row: EncodedRow) -> dict[str, float]:
        labels = sum(name in self.attributes for rating in row.ratings for name in rating)
        high = zip(row.tree.responses, self._highly_rated(row), strict=True)
        return {"labels": labels, "lm_tokens": sum(len(response.ids) for response, flag in high if flag)}

    def _highly_rated(self, row: EncodedRow) -> list[bool]:
        return [rating.get(self.lm_attribute, -math.inf) >= self.lm_threshold for rating in row.ratings]

    def collate(self, rows: Sequence[EncodedRow], indices: Sequence[int]) -> RatingBatch:
        ratings = [[rating.get(name, math.nan) for name in self.attributes] for row in rows for rating in row.ratings]
        return pack(
            [row.tree for row in rows],
            row_ids=indices,
            batch_class=RatingBatch,
            ratings=torch.tensor(ratings, dtype=torch.float32).reshape(-1, len(self.attributes)),
            highly_rated=torch.tensor([flag for row in rows for flag in self._highly_rated(row)], dtype=torch.bool),
        )


@final
class PreferenceData(AlignmentData):
    """Pairs of a chosen and a rejected response, with the reward model's scores where there are any."""

    kind = "preference"

    def require_rewards(self, eta: float) -> None:
        """Refuses rows without rewards and says how far apart the rewards of pairs are.

        Raises:
            DataError: A row has no `chosen_reward` and `rejected_reward`.
        """
        for split, dataset in self.datasets.items():
            for row in dataset.rows:
                if any(math.isnan(reward) for reward in row.rewards):
                    raise DataError(
                        f"{row.place}: chosen_reward or rejected_reward is missing, and RPO needs both\n"
                        "Score the responses with a reward model first: lit-align score."
                    )
            gaps = torch.tensor([row.rewards[0] - row.rewards[1] for row in dataset.rows], dtype=torch.float64)
            spread = float(gaps.std()) if len(gaps) > 1 else 0.0
            announce(
                f"reward gap of {split}: mean {float(gaps.mean()):.3g}, standard deviation {spread:.3g}, "
                f"{int((gaps < 0).sum())} of {len(gaps)} against the label; times eta = {eta}"
            )

    def collate(self, rows: Sequence[EncodedRow], indices: Sequence[int]) -> PreferenceBatch:
        chosen = torch.arange(0, 2 * len(rows), 2)
        return pack(
            [row.tree for row in rows],
            row_ids=indices,
            batch_class=PreferenceBatch,
            chosen=chosen,
            rejected=chosen + 1,
            rewards=torch.tensor([reward for row in rows for reward in row.rewards], dtype=torch.float32),
        )
