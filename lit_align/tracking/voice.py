"""What a logger says of a tracking server's troubles: each once, and in the thread of the training."""

import sys
from pathlib import Path
from typing import Literal, final

from lightning_utilities.core.rank_zero import rank_zero_warn

from lit_align.errors import ServiceError
from lit_align.tracking.secrets import redact_text


@final
class Voice:
    """Collects troubles from the background thread; `speak` warns of them, or raises, in the caller's thread.

    Args:
        uri: The store, shown without secrets.
        unsent: Where unsent metrics are kept.
        on_error: `warn` or `raise`.
    """

    def __init__(self, *, uri: str, unsent: Path, on_error: Literal["warn", "raise"]) -> None:
        self._uri = uri
        self._unsent = unsent
        self.raises = on_error == "raise"
        self._said: set[str] = set()
        self._pending: list[str] = []

    def note_silence(self, error: Exception) -> None:
        """The store did not answer. Said once: a server that comes and goes is one piece of news."""
        # An answer is no secret, but its text can repeat the address with a password in it.
        message = (
            f"MLflow at {self._uri} does not answer: {first_line(error)}\n"
            f"Training goes on. What is still unsent at the end is kept in {self._unsent}.\n"
            f"Send it later: python -m lit_align.tracking.backfill {self._unsent}"
        )
        self._say(message, key="silence")

    def note_refusal(self, error: Exception) -> None:
        """The store refused one thing for good."""
        self._say(message := f"MLflow at {self._uri} refused to log something: {first_line(error)}", key=message)

    def speak(self, error: Exception | None) -> None:
        """Warns of what is pending; raises instead where that was asked for.

        Raises:
            ServiceError: With `on_error="raise"`, when something is pending or the store is silent at present, unless
                another exception is being handled, which it would hide.
        """
        pending, self._pending = self._pending, []
        if self.raises and (pending or error) and sys.exception() is None:
            message = "\n".join(pending) or f"MLflow at {self._uri} does not answer: {first_line(error)}"
            raise ServiceError(message) from error
        for message in pending:
            rank_zero_warn(message, stacklevel=5)

    def _say(self, message: str, *, key: str) -> None:
        if key not in self._said:
            self._said.add(key)
            self._pending.append(message)


def first_line(error: Exception | None) -> str:
    """The beginning of an error's text, without secrets."""
    return redact_text(str(error).split("\n", 1)[0][:300]) or type(error).__name__
