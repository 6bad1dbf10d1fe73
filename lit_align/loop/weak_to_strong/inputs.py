"""What the loop begins with: rows from files and hub ids, and prompts divided between evaluation, SFT and rounds."""

from dataclasses import dataclass
from typing import final

from lit_align.errors import ConfigError
from lit_align.loop.parts import Part, rows_of
from lit_align.loop.prompts import ReadRows, SplitPrompts
from lit_align.loop.runner import Runner
from lit_align.loop.stage import Artifact

EVALUATION = "evaluation"


@dataclass(frozen=True, kw_only=True)
class Rows:
    """Rows that the loop begins with.

    Args:
        path: A file, folder or hub id.
        split: Which part of a folder or hub data set.
        most: Most rows that are read of held-out pairs, or most prompts to measure on.
    """

    path: str
    split: str = "train"
    most: int | None = None


@dataclass(frozen=True, kw_only=True)
class Division:
    """How the prompts are divided; every round of every iteration gets prompts of its own.

    Args:
        evaluation: Share that is set aside to measure policies on, before anything else.
        sft: Share of the others that demonstrations are generated for; the rounds of preferences share the rest.
        most: Most prompts of a round.
        most_evaluation: Most prompts to measure on.
        max_tokens: Longer prompts are left out, by the teacher's tokenizer. Together with the longest response it must
            fit every model's context, so that all policies answer the same prompts.
    """

    evaluation: float = 0.05
    sft: float = 0.4
    most: int | None = None
    most_evaluation: int = 500
    max_tokens: int = 1024

    def __post_init__(self) -> None:
        if not (0 < self.evaluation < 1 and 0 < self.sft < 1):
            shares = f"evaluation {self.evaluation}, sft {self.sft}"
            raise ConfigError(f"division: shares must lie between 0 and 1, got {shares}")

    def parts(self, *, iterations: int, rounds: int) -> dict[str, float]:
        """Shares of the prompts that are trained on, by name of the part."""
        shares = {}
        for iteration in range(1, iterations + 1):
            shares[sft_part(iteration)] = self.sft
            shares |= {round_part(iteration, number): (1 - self.sft) / rounds for number in range(rounds)}
        return shares


@final
@dataclass(frozen=True, kw_only=True)
class Inputs:
    """Adds the stages that read what the loop begins with.

    Attributes:
        runner: Takes the stages.
        division: How prompts are divided.
        tokenizer: Measures them.
        seed: Of every draw.
    """

    runner: Runner
    division: Division
    tokenizer: Artifact
    seed: int

    def pairs(self, rows: Rows) -> Part:
        """Held-out preferences."""
        source = self.runner.external(rows.path, title="held-out preferences")
        stage = ReadRows(source=source, kind="preference", split=rows.split, most=rows.most, seed=self.seed)
        return rows_of(self.runner.add(stage, title="held-out pairs"))

    def evaluation_prompts(self, rows: Rows) -> Part:
        """Prompts to measure policies on, from a source of their own."""
        most = {EVALUATION: rows.most or self.division.most_evaluation}
        split = self._split(rows, {EVALUATION: 1.0}, most, (), title="prompts to measure on")
        return prompts_of(split, EVALUATION)

    def prompts(self, rows: Rows, parts: dict[str, float], *, held_out: tuple[Part, ...], reserve: bool) -> Artifact:
        """The division of the prompts; with `reserve` a part for evaluation comes first."""
        division, total = self.division, sum(parts.values())
        most = {} if division.most is None else dict.fromkeys(parts, division.most)
        if reserve:
            share = total * division.evaluation / (1 - division.evaluation)
            parts, most = {EVALUATION: share, **parts}, {EVALUATION: division.most_evaluation, **most}
        return self._split(rows, parts, most, held_out, title="division of the prompts")

    def _split(
        self, rows: Rows, parts: dict[str, float], most: dict[str, int], excluded: tuple[Part, ...], *, title: str
    ) -> Artifact:
        stage = SplitPrompts(
            source=self.runner.external(rows.path, title=f"{title}: source"),
            split=rows.split,
            parts=parts,
            most=most,
            excluded=excluded,
            tokenizer=self.tokenizer,
            max_tokens=self.division.max_tokens,
            seed=self.seed,
        )
        return self.runner.add(stage, title=title)


def prompts_of(division: Artifact, part: str) -> Part:
    """A part of divided prompts."""
    return Part(artifact=division, file=f"{part}.jsonl")


def sft_part(iteration: int) -> str:
    """The name of the prompts that an iteration's demonstrations answer."""
    return f"sft_{iteration}"


def round_part(iteration: int, number: int) -> str:
    """The name of the prompts of a round of preferences; 0 is DPO."""
    return f"rpo_{number}_{iteration}" if number else f"dpo_{iteration}"


def rows_from(given: str | Rows) -> Rows:
    """Rows that are named by their path alone, or in full."""
    return Rows(path=given) if isinstance(given, str) else given
