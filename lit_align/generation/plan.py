"""What a call to `generate_rows` asks for, before anything is generated."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, final

from lit_align.data.rows import PromptOnly
from lit_align.data.sources import read_raw
from lit_align.errors import DataError
from lit_align.generation import output as schema
from lit_align.generation.base import Generator, Request, Sampling
from lit_align.progress import track

_BY_SERVICE = {"by": "service"}


@final
@dataclass(frozen=True, kw_only=True)
class Plan:
    """What is asked, of which generator, and where it goes.

    Attributes:
        rows: The prompts that can be answered.
        requests: The same as requests.
        refused: Of the others the id, the place and the reason.
        sampling: How many responses, and how.
        output: The file of rows.
        generator: As rows name it.
        may_differ: Of that what an interrupted call may have had otherwise.
        may_be_empty: Whether there may be nothing to answer.
    """

    rows: list[PromptOnly]
    requests: list[Request]
    refused: list[dict[str, str]]
    sampling: Sampling
    output: Path
    generator: dict[str, Any]
    may_differ: tuple[str, ...] = ()
    may_be_empty: bool = False

    @property
    def num_samples(self) -> int:
        """Number of output rows."""
        return len(self.rows) * self.sampling.num_samples

    @property
    def part(self) -> Path:
        """Where finished samples go until all are."""
        return self.output.with_name(f"{self.output.name}.part.jsonl")

    @property
    def refused_path(self) -> Path:
        """Where prompts that were not answered are listed."""
        return self.output.with_name(f"{self.output.name}.refused.jsonl")

    @property
    def failed_path(self) -> Path:
        """Where samples are listed that another call may have more luck with."""
        return self.output.with_name(f"{self.output.name}.failed.jsonl")

    def request(self) -> dict[str, Any]:
        """Identifies what is asked, as the first line of a part file."""
        return {"generator": self.generator, "prompts": schema.digest(self.rows)}

    def frames(self) -> Iterator[dict[str, Any]]:
        """Every output row without what is drawn, in order."""
        for row, request in zip(self.rows, self.requests, strict=True):
            for index in range(self.sampling.num_samples):
                seed = self.sampling.seed_of(request.key, index)
                yield schema.frame(row, row_id=request.key, index=index, generator=self.generator, seed=seed)

    def places(self) -> dict[str, str]:
        """Where each prompt that can be answered stands, by its id."""
        return {request.key: row.place for row, request in zip(self.rows, self.requests, strict=True)}

    def without(self, reasons: Mapping[str, str]) -> "Plan":
        """The plan without the prompts that a service refused, by id with the reason.

        Raises:
            DataError: No prompt is left.
        """
        kept = [place for place, request in enumerate(self.requests) if request.key not in reasons]
        places = self.places()
        refused = [
            {"id": key, "place": places[key], "reason": reason, **_BY_SERVICE}
            for key, reason in reasons.items()
            if key in places
        ]
        left = replace(
            self,
            rows=[self.rows[place] for place in kept],
            requests=[self.requests[place] for place in kept],
            refused=[*self.refused, *refused],
        )
        left.require_rows()
        return left

    def refused_before(self) -> dict[str, str]:
        """The prompts that a service refused when the output was made, by id with the reason."""
        if not self.refused_path.exists():
            return {}
        listed = (row for _, row in read_raw(self.refused_path))
        return {row["id"]: row["reason"] for row in listed if _BY_SERVICE.items() <= row.items()}

    def require_rows(self) -> None:
        """Raises DataError where there is nothing to answer, and should be."""
        if not self.rows and not self.may_be_empty:
            first = self.refused[0] if self.refused else {"place": "prompts", "reason": "there are none"}
            raise DataError(
                f"none of {len(self.refused)} prompts can be answered; the first, {first['place']}: {first['reason']}"
            )


def make_plan(
    prompts: Sequence[PromptOnly], *, generator: Generator, sampling: Sampling, output: Path, may_be_empty: bool = False
) -> Plan:
    """Sorts out the prompts that the generator refuses.

    Raises:
        DataError: The generator cannot express a prompt, or no prompt is left and one has to be.
    """
    rows: list[PromptOnly] = []
    requests: list[Request] = []
    refused: list[dict[str, str]] = []
    for row, name in zip(track(prompts, "checking prompts"), schema.row_ids(prompts), strict=True):
        request = Request(key=name, prompt=row.prompt)
        if reason := _refusal(generator, request, row, sampling):
            refused.append({"id": name, "place": row.place, "reason": reason})
        else:
            rows.append(row)
            requests.append(request)
    plan = Plan(
        rows=rows,
        requests=requests,
        refused=refused,
        sampling=sampling,
        output=output,
        generator=generator.describe(sampling),
        may_differ=() if generator.versions_decide else schema.RECORDED,
        may_be_empty=may_be_empty,
    )
    plan.require_rows()
    return plan


def _refusal(generator: Generator, request: Request, row: PromptOnly, sampling: Sampling) -> str | None:
    try:
        return generator.refusal(request, sampling=sampling)
    except DataError as error:
        raise DataError(f"{row.place}: {error}") from error
