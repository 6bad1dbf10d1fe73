"""What every generator takes and gives: requests, sampling settings, samples."""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from lit_align.data.rows import Conversation
from lit_align.errors import ConfigError
from lit_align.files import sha256_of_json

FinishReason = Literal["stop", "length", "content_filter", "tool_calls"]

MAX_FAILED = 0.01
"""Share of the responses that may fail where nobody watches: one bad prompt shall not stop a run."""


@dataclass(frozen=True, kw_only=True)
class Sampling:
    """How responses are drawn.

    Args:
        num_samples: Responses to each prompt.
        max_new_tokens: Most tokens of a response, its terminator included.
        temperature: Divides the logits; 0 takes the likeliest token.
        top_p: Draws from the smallest set of likeliest tokens whose probability reaches this much.
        seed: With the request's key and the sample's index, the only source of chance.
    """

    num_samples: int = 1
    max_new_tokens: int = 256
    temperature: float = 1.0
    top_p: float = 1.0
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuses what cannot be meant."""
        for name in ("num_samples", "max_new_tokens"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} must be at least 1, got {getattr(self, name)}")
        if not (math.isfinite(self.temperature) and self.temperature >= 0):
            raise ConfigError(f"temperature must be finite and not negative, got {self.temperature}")
        if not 0 < self.top_p <= 1:
            raise ConfigError(f"top_p must be above 0 and at most 1, got {self.top_p}")
        if self.temperature == 0 and self.num_samples > 1:
            raise ConfigError(
                f"num_samples {self.num_samples} at temperature 0: all samples of a prompt would be the same.\n"
                "Set a temperature above 0, or num_samples 1."
            )

    def seed_of(self, key: str, index: int) -> int:
        """The seed of one sample: 53 bits, so that every JSON reader keeps it whole.

        It depends on nothing but the seed, the key and the index, hence not on the other requests, their order, or a
        resume.

        >>> Sampling(seed=1).seed_of("a", 0) == Sampling(seed=1, temperature=0.5).seed_of("a", 0)
        True
        """
        return int(sha256_of_json([self.seed, key, index])[:16], 16) >> 11


@dataclass(frozen=True, kw_only=True)
class Request:
    """A prompt to answer.

    Args:
        key: Names the request among those of a run; seeds its samples.
        prompt: The turns before the response.
    """

    key: str
    prompt: Conversation


@dataclass(frozen=True, kw_only=True)
class Sample:
    """One response to one request.

    Args:
        key: The request's key.
        index: Which of the request's samples this is, from 0.
        text: The response.
        num_tokens: Its tokens, its terminator included; None where a service does not say.
        finish_reason: `stop` where the model ended the response, `length` where it was cut at `max_new_tokens`,
            `content_filter` where a service cut or withheld it, `tool_calls` where it calls a tool.
        served_by: What a service says of itself, such as its address and the model that it used; empty in-process.
    """

    key: str
    index: int
    text: str
    num_tokens: int | None
    finish_reason: FinishReason
    served_by: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Failure:
    """One sample that was not drawn.

    Args:
        key: The request's key.
        index: Which of the request's samples this is.
        reason: Why, in one line.
        refused: Whether the request was refused for good; otherwise another call may have more luck.
    """

    key: str
    index: int
    reason: str
    refused: bool = False


class Generator(ABC):
    """Answers requests with samples.

    A concrete generator is a `@final @dataclass(frozen=True, kw_only=True)` whose fields are its options, so that it
    can be declared in YAML, hashed by the loop and sent to another process. Its constructor loads nothing. A field
    declared with `field(metadata={"fingerprint": False})` (an address, a batch size) does not decide responses.
    """

    @property
    @abstractmethod
    def where(self) -> str:
        """Where responses are made, to be read after "generating 8 responses": `on cpu in torch.float32`."""

    @abstractmethod
    def describe(self, sampling: Sampling) -> dict[str, Any]:
        """What decides responses, as rows name it: `model` with a `name`, `sampling`, `engine`, `versions` and more."""

    @abstractmethod
    def refusal(self, request: Request, *, sampling: Sampling) -> str | None:
        """Why this request cannot be answered, such as a prompt longer than the context; None where it can.

        Asks no service: what only that can tell is handed to `on_failure` by `generate`.

        Raises:
            DataError: The request cannot be expressed.
        """

    @abstractmethod
    def generate(
        self,
        requests: Sequence[Request],
        *,
        sampling: Sampling,
        on_result: Callable[[Sample], None],
        on_failure: Callable[[Failure], None],
        done: Collection[tuple[str, int]] = (),
    ) -> None:
        """Draws the samples of all requests and hands each over, in no particular order, in the calling thread.

        Args:
            requests: What to answer, keys all different, none of them refused.
            sampling: How.
            on_result: Called with each sample as soon as it is finished.
            on_failure: Called for each sample that could not be drawn while others could.
            done: Keys and indices of samples that are at hand from an earlier, interrupted call. A generator may hand
                them over again: where results depend on batch-mates in the last bits, it repeats whole batches.

        Raises:
            ServiceError: A service cannot be used at all; samples that were handed over count.
        """

    @abstractmethod
    def status(self) -> str:
        """What a progress display says beside the count, such as retries and spend; empty where there is nothing."""

    @property
    def versions_decide(self) -> bool:
        """Whether responses depend on the versions installed here, as they do in process; those of a service do not."""
        return True
