"""Draws the samples that a part file does not hold yet."""

import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from lit_align.errors import Interrupted, ServiceError
from lit_align.files import write_jsonl
from lit_align.generation.base import Failure, Generator, Sample
from lit_align.generation.part_file import PartFile
from lit_align.generation.plan import Plan
from lit_align.progress import progress

_REFUSED = "refused"


def draw_missing(plan: Plan, part: PartFile, generator: Generator, *, max_failed: float) -> None:
    """Generates what is missing; afterwards every sample has a record, of a response or of why there is none.

    Raises:
        Interrupted: By SIGINT or SIGTERM.
        ServiceError: More samples failed than may, which are then listed, or the service cannot be used.
    """
    failures: list[Failure] = []

    def keep(sample: Sample) -> None:
        if part.add(_record(sample)):
            advance()

    def note(failure: Failure) -> None:
        if not failure.refused:
            failures.append(failure)
        elif part.add(_refusal(failure)):
            advance()

    with (
        _signals_interrupt(lambda: f"stopped by a signal; {_saved(plan, part)}"),
        progress("generating", total=plan.num_samples, unit="responses", note=generator.status) as advance,
    ):
        done = part.keys
        advance(len(done))
        try:
            generator.generate(plan.requests, sampling=plan.sampling, on_result=keep, on_failure=note, done=done)
        except ServiceError as error:
            raise ServiceError(f"{error}\n{_saved(plan, part)}; the same command continues there.") from error
    _leave_out(failures, plan, part, max_failed=max_failed)


def refusals(part: PartFile) -> dict[str, str]:
    """The prompts that were refused, or given up, while others were answered, by id with the reason."""
    records = (part.record(key) for key in sorted(part.keys))
    return {record["id"]: record[_REFUSED] for record in records if _REFUSED in record}


def say(message: str) -> None:
    """Prints a line to standard error."""
    print(message, file=sys.stderr, flush=True)


def _leave_out(failures: list[Failure], plan: Plan, part: PartFile, *, max_failed: float) -> None:
    if len(failures) > _most_failed(plan, max_failed):
        _list(failures, plan)
        raise ServiceError(
            f"{len(failures)} of {plan.num_samples} responses failed, for example: {failures[0].reason}\n"
            f"They are listed in {plan.failed_path}; {_saved(plan, part)}.\n"
            "The same command tries them again. To leave their prompts out: `--skip_failed` of generate; in a recipe a "
            f"larger `max_failed`, where the sampling is set (now {max_failed:g})."
        )
    for failure in failures:
        part.add(_refusal(failure))
    if failures:
        say(f"{len(failures)} of {plan.num_samples} responses failed; their prompts are left out: {failures[0].reason}")


def _most_failed(plan: Plan, share: float) -> int:
    """How many samples may fail: where any may at least one, and all only with a share of 1."""
    return max(int(share * plan.num_samples), min(1, plan.num_samples - 1)) if share else 0


def _saved(plan: Plan, part: PartFile) -> str:
    return f"{len(part.keys)} of {plan.num_samples} responses are in {part.path}"


def _refusal(failure: Failure) -> dict[str, Any]:
    return {"id": failure.key, "sample": failure.index, _REFUSED: failure.reason}


def _record(sample: Sample) -> dict[str, Any]:
    record = {
        "id": sample.key,
        "sample": sample.index,
        "response": sample.text,
        "finish_reason": sample.finish_reason,
        "num_tokens": sample.num_tokens,
    }
    return {**record, "served_by": dict(sample.served_by)} if sample.served_by else record


def _list(failures: list[Failure], plan: Plan) -> None:
    places = plan.places()
    write_jsonl(
        plan.failed_path,
        (
            {"id": failure.key, "sample": failure.index, "place": places[failure.key], "reason": failure.reason}
            for failure in sorted(failures, key=lambda failure: (failure.key, failure.index))
        ),
    )


@contextmanager
def _signals_interrupt(message: Callable[[], str]) -> Iterator[None]:
    """Turns SIGINT and SIGTERM into `Interrupted`; outside the main thread, which alone may, they stay as they are."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def interrupt(number: int, frame: object) -> None:
        raise Interrupted(f"{message()}\nThe same command continues there.")

    before = {number: signal.signal(number, interrupt) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
