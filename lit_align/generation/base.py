"""What every generator takes and gives: requests, sampling settings, samples."""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Literal

from lit_align.errors import ConfigError
from lit_align.files import sha256_of_json

FinishReason = Literal["stop", "length"]


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
        prompt_ids: The prompt's tokens, exactly as the model reads them.
    """

    key: str
    prompt_ids: list[int]


@dataclass(frozen=True, kw_only=True)
class Sample:
    """One response to one request.

    Args:
        key: The request's key.
        index: Which of the request's samples this is, from 0.
        ids: The response's tokens, its terminator included where it has one.
        text: The response's text where the generator works in text (a remote server), else None.
        finish_reason: `stop` at a terminator, `length` where the response was cut at `max_new_tokens`.
        seed: The seed of this sample.
    """

    key: str
    index: int
    ids: list[int]
    text: str | None = None
    finish_reason: FinishReason
    seed: int


class Generator(ABC):
    """Answers requests with samples."""

    @abstractmethod
    def refusal(self, request: Request, *, sampling: Sampling) -> str | None:
        """Why this request cannot be answered, such as a prompt longer than the context; None where it can."""

    @abstractmethod
    def generate(
        self,
        requests: Sequence[Request],
        *,
        sampling: Sampling,
        on_result: Callable[[Sample], None],
        done: Collection[tuple[str, int]] = (),
    ) -> None:
        """Draws the samples of all requests and hands each over, in no particular order.

        Args:
            requests: What to answer, keys all different, none of them refused.
            sampling: How.
            on_result: Called with each sample as soon as it is finished.
            done: Keys and indices of samples that are at hand from an earlier, interrupted call. A generator may hand
                them over again: where results depend on batch-mates in the last bits, it repeats whole batches.
        """
