"""Sends requests in a sliding window until each is answered, refused or given up."""

import asyncio
import random
import time
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from queue import SimpleQueue
from threading import Event, Thread
from typing import TYPE_CHECKING, Any, final

from lit_align.announce import announce
from lit_align.errors import ServiceError
from lit_align.generation.base import Request
from lit_align.generation.openai.answers import Answer, Fault
from lit_align.generation.openai.tally import Tally
from lit_align.generation.openai.transport import Transport
from lit_align.generation.openai.window import Window

if TYPE_CHECKING:
    from lit_align.generation.openai.generator import OpenAIGenerator

_FIRST_DELAY, _LONGEST_DELAY = 0.5, 30.0
_REJECTED_AT_FIRST = 8
_SAY_EVERY = 30.0


@dataclass(frozen=True, kw_only=True)
class Job:
    """One sample to ask for."""

    request: Request
    index: int


@final
class Client:
    """One series of requests, in a thread with an event loop of its own: the caller may have one too, and signals.

    Args:
        options: The server, and how much is asked of it.
        key: Sent as a bearer token.
        tally: Counts.
        body: What is sent for a job.
        refusal: Why a job is not to be sent to a server with a context of so many tokens (None: unknown).
    """

    def __init__(
        self,
        options: "OpenAIGenerator",
        *,
        key: str | None,
        tally: Tally,
        body: Callable[[Job], dict[str, Any]],
        refusal: Callable[[Job, int | None], str | None],
    ) -> None:
        self._options, self._key, self._tally = options, key, tally
        self._body, self._refusal = body, refusal
        self._events: SimpleQueue[tuple[Job, Answer | Fault] | BaseException | None] = SimpleQueue()
        self._started = Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._main: asyncio.Task[Any] | None = None
        self._refused: dict[str, Fault] = {}
        self._context: int | None = None
        self._answered = self._rejected = 0
        self._failing_since: float | None = None
        self._said = 0.0

    def outcomes(self, jobs: Iterable[Job]) -> Generator[tuple[Job, Answer | Fault], None, None]:
        """Each job with its answer, or with why there is none, as they come.

        Raises:
            ServiceError: The server cannot be used.
        """
        thread = Thread(target=self._serve, args=(iter(jobs),), name="requests", daemon=True)
        thread.start()
        try:
            while (event := self._events.get()) is not None:
                if isinstance(event, BaseException):
                    raise event
                yield event
        finally:
            self._started.wait()
            if self._loop is not None and self._main is not None:
                with suppress(RuntimeError):  # it has come to its end
                    self._loop.call_soon_threadsafe(self._main.cancel)
            thread.join()

    def _serve(self, jobs: Iterator[Job]) -> None:
        try:
            asyncio.run(self._run(jobs))
        except* asyncio.CancelledError:
            pass  # nobody reads any more
        except* BaseException as group:
            self._events.put(_innermost(group))
        finally:
            self._started.set()
            self._events.put(None)

    async def _run(self, jobs: Iterator[Job]) -> None:
        self._loop, self._main = asyncio.get_running_loop(), asyncio.current_task()
        self._started.set()
        self._window = Window(least=self._options.min_concurrency, most=self._options.max_concurrency)
        async with Transport(self._options, key=self._key) as transport:
            self._context = await transport.context(self._options.model)
            async with asyncio.TaskGroup() as group:
                for _ in range(self._options.max_concurrency):
                    group.create_task(self._work(jobs, transport))

    async def _work(self, jobs: Iterator[Job], transport: Transport) -> None:
        for job in jobs:
            outcome = self._refused.get(job.request.key) or self._too_long(job) or await self._answer(job, transport)
            if isinstance(outcome, Fault):
                self._tally.failed += 1
                if outcome.kind == "refused":
                    self._refused[job.request.key] = outcome
            self._events.put((job, outcome))
            self._require_means()

    def _too_long(self, job: Job) -> Fault | None:
        reason = self._refusal(job, self._context)
        return None if reason is None else Fault(reason=reason, kind="refused")

    async def _answer(self, job: Job, transport: Transport) -> Answer | Fault:
        """Tries until there is an answer, or none to be had."""
        tries = attempt = 0
        while True:
            async with self._window:
                sent = time.monotonic()
                outcome = await transport.ask(self._body(job))
                if isinstance(outcome, Answer):
                    self._note_answer(outcome)
                    return outcome
                self._note_fault(outcome, sent=sent)
            if outcome.kind != "retry":
                return outcome
            tries += 1
            attempt += outcome.reached  # a server that is not there is not the request's fault
            if attempt >= self._options.attempts:
                return replace(outcome, kind="failed", reason=f"{outcome.reason} (attempt {attempt})")
            self._tally.retries += 1
            await asyncio.sleep(_delay(tries, outcome.after))

    def _note_answer(self, answer: Answer) -> None:
        self._window.grow()
        self._answered += 1
        self._failing_since = None
        self._tally.answered += 1
        self._tally.prompt_tokens += answer.prompt_tokens or 0
        self._tally.response_tokens += answer.response_tokens or 0

    def _require_means(self) -> None:
        most = self._options.max_spend
        if most is not None and self._tally.spend >= most:
            raise ServiceError(f"{self._tally.spend:.2f} is spent, and max_spend is {most:g}")

    def _note_fault(self, fault: Fault, *, sent: float) -> None:
        """Adapts to a fault; raises ServiceError where it concerns every request."""
        if fault.overloaded:
            self._window.shrink(sent=sent)
        if fault.after is not None:
            if fault.after > self._options.patience:
                raise self._useless(f"{fault.reason}; it asks to wait {fault.after:.0f} s")
            self._window.pause(fault.after)
        if fault.kind == "stop":
            raise self._useless(fault.reason)
        if fault.kind == "failed":
            self._rejected += 1
            if not self._answered and self._rejected >= _REJECTED_AT_FIRST:
                raise self._useless(f"it rejects every request: {fault.reason}")
        if fault.kind == "retry":
            self._wait_for_server(fault)

    def _wait_for_server(self, fault: Fault) -> None:
        now = time.monotonic()
        if self._failing_since is None:
            self._failing_since = now
        silent = now - self._failing_since
        if silent > self._options.patience:
            raise self._useless(f"nothing but faults for {silent:.0f} s; the last: {fault.reason}")
        if silent > _SAY_EVERY and now - self._said > _SAY_EVERY:
            self._said = now
            until = f"patience ends at {self._options.patience:.0f} s"
            announce(f"{self._options.url}: nothing but faults for {silent:.0f} s ({fault.reason}); {until}")

    def _useless(self, reason: str) -> ServiceError:
        return ServiceError(f"{self._options.url}: {reason}")


def _delay(tries: int, after: float | None) -> float:
    """Seconds before the next attempt: doubled each time, of which half is chance, so that retries spread out."""
    longest = min(_LONGEST_DELAY, _FIRST_DELAY * 2 ** min(tries, 10))
    return max(after or 0.0, longest * random.uniform(0.5, 1))


def _innermost(error: BaseException) -> BaseException:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
