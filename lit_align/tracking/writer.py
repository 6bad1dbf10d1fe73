"""A background thread that writes to an MLflow run, so that no slow, dead or silent server ever holds up training."""

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import final

from lit_align.tracking.connection import quiet_thread
from lit_align.tracking.metrics_file import Point, Timed, encode
from lit_align.tracking.runs import METRICS_A_REQUEST, Run

Operation = Callable[[Run], None]
_Item = Operation | list[Timed]

# Metrics wait this long for company: one request a second instead of one a step.
_GATHER_SECONDS = 1.0
_FIRST_PAUSE_SECONDS = 1.0
_LONGEST_PAUSE_SECONDS = 60.0
_CLOSING_PAUSE_SECONDS = 1.0
# About 100 MB; beyond it the oldest metrics go to the file of unsent ones.
_MOST_POINTS = 500_000


@final
class Writer:
    """Sends operations to a run in order, from one daemon thread; tries again while the store does not answer.

    Args:
        open_run: Finds or makes the run; called in the thread, again and again until it succeeds.
        unsent: File for metrics that could not be sent, in the form of `metrics.jsonl`.
        on_silence: Told of every failed attempt to reach the store.
        on_refusal: Told of every operation that the store refused for good; it is dropped, metrics go to `unsent`.
    """

    def __init__(
        self,
        open_run: Callable[[], Run],
        *,
        unsent: Path,
        on_silence: Callable[[Exception], None],
        on_refusal: Callable[[Exception], None],
    ) -> None:
        self._open_run = open_run
        self._unsent = unsent
        self._on_silence = on_silence
        self._on_refusal = on_refusal
        self._queue: deque[_Item] = deque()
        self._in_flight: list[_Item] = []
        self._num_points = 0
        self._num_unsent = 0
        self._changed = threading.Condition()
        self._run: Run | None = None
        self._error: Exception | None = None
        self._closing = self._abandoned = False
        self._thread = threading.Thread(target=self._work, name="lit-align-mlflow", daemon=True)
        self._thread.start()

    @property
    def error(self) -> Exception | None:
        """Why the store does not answer at present."""
        return self._error

    def submit(self, operation: Operation) -> None:
        """Queues an operation; returns at once."""
        with self._changed:
            self._queue.append(operation)
            self._changed.notify_all()

    def log_metrics(self, points: Sequence[Point]) -> None:
        """Queues metrics; returns at once."""
        now = int(time.time() * 1000)
        with self._changed:
            self._queue.append([(point, now) for point in points])
            self._num_points += len(points)
            if self._num_points > _MOST_POINTS:
                self._spill(until=_MOST_POINTS // 2)
            self._changed.notify_all()

    def wait_for_run(self, timeout: float) -> Run | None:
        """The run, once it is open; None when `timeout` seconds pass first, or an attempt to open it fails."""
        with self._changed:
            self._changed.wait_for(lambda: self._run is not None or self._error is not None, timeout)
            return self._run

    def flush(self, timeout: float) -> bool:
        """Waits until everything is sent, however long it takes; gives up on a store that is silent for `timeout`."""
        start = time.monotonic()
        with self._changed:
            while (self._queue or self._in_flight) and self._thread.is_alive():
                if self._error is not None and time.monotonic() - start > timeout:
                    return False
                self._changed.wait(0.1)
            return not self._queue and not self._in_flight

    def close(self, timeout: float) -> int:
        """Sends what is left and stops. Returns how many metric values went to the file of unsent ones."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        self.flush(timeout)
        with self._changed:
            self._abandoned = True
            self._queue.extendleft(reversed(self._in_flight))
            self._spill(until=0)
            self._queue.clear()
            self._changed.notify_all()
        return self._num_unsent

    def _work(self) -> None:
        pause = _FIRST_PAUSE_SECONDS
        items: list[_Item] = []
        with quiet_thread():
            while self._run is None or (items := self._take()):
                try:
                    self._send(items, self._run or self._open())
                except Exception as error:  # login pages, locked databases: training goes on
                    self._put_back(items, error)
                    if self._abandoned:
                        return
                    self._pause(pause)
                    pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)
                else:
                    self._sent(items)
                    pause = _FIRST_PAUSE_SECONDS

    def _open(self) -> Run:
        run = self._open_run()
        with self._changed:
            self._run = run
        return run

    def _take(self) -> list[_Item]:
        """One operation, or metrics that stand together, at most one request's worth. Empty: there will be no more."""
        with self._changed:
            self._changed.wait_for(lambda: self._queue or self._closing)
            if self._queue and isinstance(self._queue[0], list):
                self._changed.wait_for(lambda: self._closing, _GATHER_SECONDS)
            size = 0
            while self._queue and not self._abandoned:
                item = self._queue[0]
                size += len(item) if isinstance(item, list) else METRICS_A_REQUEST
                if self._in_flight and size > METRICS_A_REQUEST:
                    break
                self._in_flight.append(self._queue.popleft())
            return list(self._in_flight)

    def _send(self, items: list[_Item], run: Run) -> None:
        try:
            for operation in items:
                if callable(operation):
                    operation(run)
            run.log_timed([point for item in items if isinstance(item, list) for point in item])
        except Exception as error:  # what may pass is raised again
            if may_pass(error):
                raise
            self._on_refusal(error)
            with self._changed:
                self._keep_unsent(items)

    def _sent(self, items: list[_Item]) -> None:
        with self._changed:
            self._in_flight = []
            self._num_points -= _count(items)
            self._error = None
            self._changed.notify_all()

    def _put_back(self, items: list[_Item], error: Exception) -> None:
        with self._changed:
            self._in_flight = []
            if not self._abandoned:
                self._queue.extendleft(reversed(items))
            self._error = error
            self._changed.notify_all()
        self._on_silence(error)

    def _pause(self, seconds: float) -> None:
        """Waits before the next attempt; a writer that begins to close tries at once."""
        with self._changed:
            closing = self._closing
            self._changed.wait_for(
                lambda: self._abandoned or self._closing != closing, _CLOSING_PAUSE_SECONDS if closing else seconds
            )

    def _spill(self, *, until: int) -> None:
        """Moves the oldest metrics to the file of unsent ones until no more than `until` are left."""
        spilled: list[_Item] = []
        kept: deque[_Item] = deque()
        for item in self._queue:
            if isinstance(item, list) and self._num_points > until:
                self._num_points -= len(item)
                spilled.append(item)
            else:
                kept.append(item)
        self._queue = kept
        self._keep_unsent(spilled)

    def _keep_unsent(self, items: Sequence[_Item]) -> None:
        lines = [
            encode(step, {name: value}) for item in items if isinstance(item, list) for (name, step, value), _ in item
        ]
        if lines:
            self._num_unsent += len(lines)
            self._unsent.parent.mkdir(parents=True, exist_ok=True)
            with open(self._unsent, "a", encoding="utf-8") as file:
                file.writelines(lines)


def may_pass(error: Exception) -> bool:
    """Whether the same request may succeed later: the store is unreachable, busy or broken, not unwilling."""
    from mlflow.exceptions import MlflowException
    from requests.exceptions import RequestException

    if isinstance(error, MlflowException):
        status = error.get_http_status_code()
        return status >= 500 or status in {401, 403, 408, 429}
    return isinstance(error, RequestException | ConnectionError | TimeoutError)


def _count(items: list[_Item]) -> int:
    return sum(len(item) for item in items if isinstance(item, list))
