"""Mixtures of sources, by weight, and replay of a share of an earlier stage's rows."""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from lit_align.data.accounting import Accounting, merge
from lit_align.data.records import Row
from lit_align.data.sources import OnBad, Rules, iter_rows, require_rows
from lit_align.errors import ConfigError

ReplayOf = Literal["stage_a", "mixture"]


@dataclass(frozen=True, kw_only=True)
class Source:
    """One part of a mixture.

    Args:
        path: A file, a folder or a hub id.
        split: Which part of a folder or hub data set.
        weight: The source's share of the mixture, in proportion to the other weights. Without weights every row of
            every source is taken.
        replay_fraction: Makes the source a replay of an earlier stage: this share of its rows, or of the mixture.
        of: What `replay_fraction` is a share of. `stage_a`: 0.02 takes 2 % of the earlier stage's rows. `mixture`:
            2 % of the rows that are trained on, the replayed ones included, come from the earlier stage.
    """

    path: str
    split: str = "train"
    weight: float | None = None
    replay_fraction: float | None = None
    of: ReplayOf | None = None

    def __post_init__(self) -> None:
        if self.weight is not None and not 0 < self.weight < float("inf"):
            raise ConfigError(f"weight of {self.path} must be positive, got {self.weight}")
        if (self.replay_fraction is None) != (self.of is None):
            raise ConfigError(f"{self.path}: replay_fraction and of (stage_a or mixture) go together; give both")
        if self.replay_fraction is None:
            return
        if self.weight is not None:
            raise ConfigError(f"{self.path}: give either weight or replay_fraction")
        if not 0 < self.replay_fraction < 1:
            raise ConfigError(f"replay_fraction of {self.path} must lie between 0 and 1, got {self.replay_fraction}")


def read_mixture(
    sources: str | Path | Source | Sequence[str | Path | Source],
    kind: str,
    *,
    num_rows: int | None = None,
    seed: int = 0,
    attributes: Sequence[str] | None = None,
    label_range: tuple[float, float] | None = None,
    on_bad: OnBad = "error",
    max_bad_rows: int | None = None,
    drop_policy: OnBad = "drop",
) -> tuple[list[Row], Accounting]:
    """Reads and mixes sources; the rows keep their places, in the order of the sources and of their files.

    Rows are drawn without replacement: with weights the mixture has `num_rows` rows, or as many as the scarcest source
    allows; the others count as dropped under `not_sampled`. The draw depends on the seed, the position of a source and
    its number of rows, not on its path. `Rules` explains the other options.

    Raises:
        ConfigError: The weights do not fit together, or more rows are asked of a source than it has.
        DataError: As for `read_rows`.
    """
    given = [sources] if isinstance(sources, str | Path | Source) else sources
    parts = [part if isinstance(part, Source) else Source(path=str(part)) for part in given]
    rules = Rules(
        attributes=attributes,
        label_range=label_range,
        on_bad=on_bad,
        max_bad_rows=max_bad_rows,
        drop_policy=drop_policy,
    )
    counts = [Accounting() for _ in parts]
    read = [
        list(iter_rows(part.path, kind, counts=count, rules=rules, split=part.split))
        for part, count in zip(parts, counts, strict=True)
    ]
    for part, count in zip(parts, counts, strict=True):
        require_rows(count, part.path)
    return _mix(parts, read, counts, num_rows=num_rows, seed=seed), merge(counts)


def _mix(
    parts: Sequence[Source], read: Sequence[list[Row]], counts: Sequence[Accounting], *, num_rows: int | None, seed: int
) -> list[Row]:
    wanted = _wanted(parts, [len(rows) for rows in read], num_rows)
    drawn = (
        _draw(rows, number, count, seed=f"{seed}/{index}")
        for index, (rows, number, count) in enumerate(zip(read, wanted, counts, strict=True))
    )
    return [row for rows in drawn for row in rows]


def _wanted(parts: Sequence[Source], available: Sequence[int], num_rows: int | None) -> list[int]:
    """How many rows each source gives."""
    fresh = [index for index, part in enumerate(parts) if part.replay_fraction is None]
    if not fresh:
        raise ConfigError("every source is a replay of an earlier stage; name the rows of this stage")
    weights = [parts[index].weight for index in fresh]
    shares = share_out(weights, [available[index] for index in fresh], num_rows=num_rows)
    wanted = dict(zip(fresh, shares, strict=True))
    own = sum(shares)
    replays = {index: part for index, part in enumerate(parts) if part.replay_fraction is not None}
    of_mixture = sum(part.replay_fraction or 0.0 for part in replays.values() if part.of == "mixture")
    if of_mixture >= 1:
        raise ConfigError(f"the replay fractions of the mixture add up to {of_mixture:g}; nothing would be left")
    of_stage = {i: round((p.replay_fraction or 0.0) * available[i]) for i, p in replays.items() if p.of == "stage_a"}
    # x of the whole is x / (1 - sum of all such x) of what does not come from such replays.
    others = own + sum(of_stage.values())
    for index, part in replays.items():
        share = (part.replay_fraction or 0.0) / (1 - of_mixture)
        wanted[index] = of_stage[index] if index in of_stage else round(share * others)
    for index, number in wanted.items():
        _check_available(parts[index], number, available[index])
    return [wanted[index] for index in range(len(parts))]


def share_out(weights: Sequence[float | None], available: Sequence[int], *, num_rows: int | None) -> list[int]:
    """Rows of each source in a mixture; largest remainders first where shares are not whole.

    >>> share_out([3.0, 1.0], [900, 100], num_rows=None)
    [300, 100]

    Raises:
        ConfigError: Only some sources have weights, or `num_rows` is given without any.
    """
    given = [weight for weight in weights if weight is not None]
    if not given:
        if num_rows is not None:
            raise ConfigError("num_rows needs a weight for every source; without weights all rows are taken")
        return list(available)
    if len(given) != len(weights):
        raise ConfigError("give a weight to every source of the mixture, or to none")
    shares = [weight / sum(given) for weight in given]
    total = num_rows if num_rows is not None else int(min(n / s for n, s in zip(available, shares, strict=True)) + 1e-9)
    exact = [share * total for share in shares]
    whole = [int(number + 1e-9) for number in exact]
    by_remainder = sorted(range(len(exact)), key=lambda index: whole[index] - exact[index])
    for index in by_remainder[: total - sum(whole)]:
        whole[index] += 1
    return whole


def _check_available(part: Source, number: int, available: int) -> None:
    if number > available:
        raise ConfigError(
            f"{part.path}: the mixture asks for {number} rows, the source has {available}\n"
            "Rows are drawn without replacement: lower num_rows, the weight or replay_fraction."
        )


def _draw(rows: Sequence[Row], number: int, counts: Accounting, *, seed: str) -> list[Row]:
    """`number` of the rows in their old order; the others are counted as not sampled."""
    kept = set(random.Random(seed).sample(range(len(rows)), number))
    for index, row in enumerate(rows):
        if index not in kept:
            counts.drop("not_sampled", place=row.place)
    return [row for index, row in enumerate(rows) if index in kept]
