"""From prompts to a file of responses, resumable: what the command `generate` and the loop's stage both run."""

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

from lit_align.data.rows import PromptOnly
from lit_align.data.sources import read_raw
from lit_align.errors import ConfigError
from lit_align.files import write_jsonl
from lit_align.generation import output as schema
from lit_align.generation.base import Generator, Sampling
from lit_align.generation.missing import draw_missing, refusals, say
from lit_align.generation.part_file import PartFile, no_space
from lit_align.generation.plan import Plan, make_plan


@dataclass(frozen=True, kw_only=True)
class Generated:
    """What `generate_rows` wrote.

    Attributes:
        prompts: Number of prompts that were answered.
        refused: Number of prompts that were not, such as those that are too long.
        samples: Number of responses.
        finish_reasons: How many of them ended by `stop`, by `length` or otherwise.
        mean_tokens: Mean number of tokens of a response, its terminator included, of those whose number is known; None
            where none is.
        alike: Number of prompts whose responses, of several each, are all the same.
    """

    prompts: int
    refused: int
    samples: int
    finish_reasons: dict[str, int]
    mean_tokens: float | None
    alike: int


def generate_rows(
    prompts: Sequence[PromptOnly],
    *,
    generator: Generator,
    output: str | Path,
    sampling: Sampling,
    overwrite: bool = False,
    max_failed: float = 0.0,
    may_be_empty: bool = False,
) -> Generated:
    """Answers prompts and writes the rows that `lit_align.generation.output` describes.

    Finished samples go to `<output>.part.jsonl` at once; after a kill the same call continues there, and what was
    finished is not asked for again. Where the output is complete nothing is done. Prompts that are refused, such as
    those that exceed the context, are left out and listed with the reason in `<output>.refused.jsonl`; samples that
    failed for now in `<output>.failed.jsonl`.

    Args:
        prompts: What to answer.
        generator: Answers.
        output: `.jsonl` or `.jsonl.gz`.
        sampling: How many responses, and how.
        overwrite: Whether an output, or the part file of one, that another request wrote is replaced.
        max_failed: Share of the samples that may fail: their prompts then count as refused, and the output is finished
            without them. Above 0 it is at least one sample, below 1 never all.
        may_be_empty: Whether the output may have no row, where every prompt is refused; else that is an error.

    Raises:
        ConfigError: The generator cannot be used, or the output is of another request.
        DataError: A prompt cannot be expressed, or none can be answered.
        Interrupted: By SIGINT or SIGTERM; the part file keeps what is finished.
        ResourceError: The disk is full, or the GPU's memory.
        ServiceError: More samples failed than may, or the service cannot be used; the part file keeps what is finished.
    """
    output = Path(output)
    plan = make_plan(prompts, generator=generator, sampling=sampling, output=output, may_be_empty=may_be_empty)
    if output.exists() and (complete := _complete(plan, overwrite=overwrite)):
        say(f"{output} is complete already: {complete.num_samples} responses to the same request; nothing to do")
        _remove_leftover(plan)
        return _summarise(complete)
    with PartFile(plan.part, request=plan.request(), may_differ=plan.may_differ, replace=overwrite) as part:
        if missing := plan.num_samples - len(part.keys):
            say(f"generating {missing} of {plan.num_samples} responses {generator.where}")
            draw_missing(plan, part, generator, max_failed=max_failed)
        result = _summarise(_finish(plan, part))
    if result.alike == result.prompts > 0:
        say(f"warning: each prompt got the same response {sampling.num_samples} times; is the temperature heeded?")
    return result


def _complete(plan: Plan, *, overwrite: bool) -> Plan | None:
    """The plan as far as a service answered it, if all of that is there; None if the output is to be replaced."""
    answerable = plan.without(plan.refused_before())
    changed = schema.difference_of_file(plan.output, answerable.frames())
    if changed and not overwrite:
        raise ConfigError(f"{changed}\nThe output exists already: give --overwrite to replace it, or another --output.")
    return None if changed else answerable


def _remove_leftover(plan: Plan) -> None:
    """Removes the part file of a process that was killed after it had finished the output; no other."""
    if plan.part.exists():
        with suppress(ConfigError), PartFile(plan.part, request=plan.request(), may_differ=plan.may_differ) as part:
            part.path.unlink()


def _finish(plan: Plan, part: PartFile) -> Plan:
    """Writes the output from the records; the plan as it was answered."""
    answered = plan.without(refusals(part))

    def rows() -> Iterator[dict[str, Any]]:
        for frame in answered.frames():
            yield schema.filled(frame, part.record((frame["id"], frame["sample"])))

    with no_space(plan.output):
        if answered.refused:
            write_jsonl(plan.refused_path, answered.refused)
        else:
            plan.refused_path.unlink(missing_ok=True)
        write_jsonl(plan.output, rows())
    plan.failed_path.unlink(missing_ok=True)
    part.path.unlink()
    return answered


def _summarise(plan: Plan) -> Generated:
    reasons: Counter[str] = Counter()
    lengths: list[int] = []
    alike = 0
    rows = (row for _, row in read_raw(plan.output))
    for _, samples in groupby(rows, key=lambda row: row["id"]):
        texts: set[str] = set()
        for row in samples:
            texts.add(row["response"])
            reasons[row["finish_reason"]] += 1
            if row["num_tokens"] is not None:
                lengths.append(row["num_tokens"])
        alike += plan.sampling.num_samples > 1 and len(texts) == 1
    return Generated(
        prompts=len(plan.rows),
        refused=len(plan.refused),
        samples=plan.num_samples,
        finish_reasons=dict(sorted(reasons.items())),
        mean_tokens=sum(lengths) / len(lengths) if lengths else None,
        alike=alike,
    )
