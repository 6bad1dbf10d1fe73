"""What a logger says of a tracking server's troubles: each once, and in the thread of the training."""

import sys
import warnings
from typing import Literal, final

from lit_align.errors import ServiceError
from lit_align.tracking.secrets import redact_text


@final
class Voice:
    """Collects troubles from the background thread; `speak` warns of them, or raises, in the caller's thread.

    Args:
        uri: The store, shown without secrets.
        remedy: What happens to what cannot be sent, and what the user can do.
        on_error: `warn` or `raise`.
    """

    def __init__(self, *, uri: str, remedy: str, on_error: Literal["warn", "raise"]) -> None:
        self._uri = uri
        self._remedy = remedy
        self.raises = on_error == "raise"
        self._said: set[str] = set()
        self._pending: list[str] = []

    def note_silence(self, error: Exception) -> None:
        """The store did not answer. Said once: a server that comes and goes is one piece of news."""
        self._say(f"MLflow at {self._uri} does not answer: {first_line(error)}\n{self._remedy}", key="silence")

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
            warnings.warn(message, stacklevel=3)

    def _say(self, message: str, *, key: str) -> None:
        if key not in self._said:
            self._said.add(key)
            self._pending.append(message)


def first_line(error: Exception | None) -> str:
    """The beginning of an error's text, without secrets."""
    return redact_text(str(error).split("\n", 1)[0][:300]) or type(error).__name__
