"""The options of a server, and requests in its protocol."""

from collections.abc import Callable, Collection, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, field
from functools import cached_property
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, Literal, final

from lit_align.data.rows import Conversation
from lit_align.errors import ConfigError
from lit_align.generation.base import Failure, Generator, Request, Sample, Sampling
from lit_align.generation.openai.access import read_key, require_plain_url
from lit_align.generation.openai.tally import Tally
from lit_align.generation.tokens import refusal

if TYPE_CHECKING:
    from lit_align.generation.model_chat import ModelChat
    from lit_align.generation.openai.answers import Answer
    from lit_align.generation.openai.client import Client, Job

_BYTES_PER_TOKEN = 4
_RESERVED = ("messages", "model", "n", "stream")
_POSITIVE = ("min_concurrency", "max_concurrency", "attempts", "patience", "context", "max_spend")
_POSITIVE_TIMES = ("connect_timeout", "read_timeout", "total_timeout")


def _setting(default: Any) -> Any:
    """A field that does not decide responses."""
    return field(default=default, metadata={"fingerprint": False})


@final
@dataclass(frozen=True, kw_only=True)
class OpenAIGenerator(Generator):
    """A server of the OpenAI chat protocol: vLLM, SGLang, llama.cpp, `transformers serve`, or a hosted service.

    Each sample is a request of its own with a seed of its own. A stopped run asks only for what is missing; whether
    the same seed gives the same response is the server's affair.

    Args:
        base_url: Where `/chat/completions` is, for example http://127.0.0.1:8000/v1.
        model: The model's name there.
        context: Most tokens of a prompt and its response; unless given, what the server says. Longer prompts are not
            sent.
        tokenizer: Folder or hub id of the model's tokenizer, to count a prompt's tokens; without it they are
            estimated, 4 bytes of text each.
        extra: Further fields of every request, such as top_k; null leaves one out, such as seed.
        length_field: What the server calls the most tokens of a response.
        key_variable: Environment variable that holds the key, if the server wants one. A key is read from nowhere
            else, and written nowhere.
        min_concurrency: Fewest requests that may be under way at once.
        max_concurrency: Most; between the two the number follows what the server bears.
        attempts: Attempts for a response before it counts as failed.
        patience: Seconds of nothing but faults after which the server counts as gone.
        connect_timeout: Seconds for a connection.
        read_timeout: Seconds without a byte; servers send none before a response is whole.
        total_timeout: Seconds for one attempt.
        proxy: Address of a proxy; none is taken from the environment.
        ca_file: Certificates (PEM) to trust instead of the usual ones.
        prompt_price: Of a million tokens of prompts, to show what is spent.
        response_price: Of a million tokens of responses.
        max_spend: Stops once so much is spent, in the currency of the prices. It is counted by the process and from 0:
            each stage of a recipe may spend as much, and so may each repetition of a stopped command.
    """

    base_url: str = field(metadata={"fingerprint": False})
    model: str
    context: int | None = None
    tokenizer: str | None = None
    extra: dict[str, Any] = field(default_factory=dict)
    length_field: Literal["max_tokens", "max_completion_tokens"] = _setting("max_tokens")
    key_variable: str = _setting("LIT_ALIGN_API_KEY")
    min_concurrency: int = _setting(1)
    max_concurrency: int = _setting(64)
    attempts: int = _setting(8)
    patience: float = _setting(600.0)
    connect_timeout: float = _setting(10.0)
    read_timeout: float = _setting(600.0)
    total_timeout: float = _setting(1800.0)
    proxy: str | None = _setting(None)
    ca_file: str | None = _setting(None)
    prompt_price: float = _setting(0.0)
    response_price: float = _setting(0.0)
    max_spend: float | None = _setting(None)

    def __post_init__(self) -> None:
        """Refuses what cannot work, before anything is sent."""
        require_plain_url("base_url", self.base_url)
        if self.proxy is not None:
            require_plain_url("proxy", self.proxy)
        for name in (*_POSITIVE, *_POSITIVE_TIMES):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise ConfigError(f"{name} must be positive, got {value}")
        if self.min_concurrency > self.max_concurrency:
            raise ConfigError(f"min_concurrency {self.min_concurrency} exceeds max_concurrency {self.max_concurrency}")
        if self.prompt_price < 0 or self.response_price < 0:
            raise ConfigError("prices must not be negative")
        if self.max_spend is not None and not (self.prompt_price or self.response_price):
            raise ConfigError("max_spend needs prompt_price and response_price, per million tokens")
        if reserved := [name for name in _RESERVED if name in self.extra]:
            raise ConfigError(f"extra cannot set {reserved[0]}, which is decided elsewhere")

    @property
    def url(self) -> str:
        """The address without a slash at its end."""
        return self.base_url.rstrip("/")

    @property
    def where(self) -> str:
        return f"by {self.model} at {self.url}"

    @property
    def versions_decide(self) -> bool:
        return False

    def describe(self, sampling: Sampling) -> dict[str, Any]:
        return {
            "model": {"name": self.model, "fingerprint": None},
            "sampling": asdict(sampling),
            **({"extra": self.extra} if self.extra else {}),
            "engine": "openai",
            "versions": {"lit-align": version("lit-align")},
        }

    def refusal(self, request: Request, *, sampling: Sampling) -> str | None:
        return self._refusal(request, sampling, self.context)

    def generate(
        self,
        requests: Sequence[Request],
        *,
        sampling: Sampling,
        on_result: Callable[[Sample], None],
        on_failure: Callable[[Failure], None],
        done: Collection[tuple[str, int]] = (),
    ) -> None:
        from lit_align.generation.openai.answers import Fault
        from lit_align.generation.openai.client import Job

        jobs = (
            Job(request=request, index=index)
            for request in requests
            for index in range(sampling.num_samples)
            if (request.key, index) not in done
        )
        with closing(self._client(sampling).outcomes(jobs)) as outcomes:
            for job, outcome in outcomes:
                if isinstance(outcome, Fault):
                    refused = outcome.kind == "refused"
                    on_failure(Failure(key=job.request.key, index=job.index, reason=outcome.reason, refused=refused))
                else:
                    on_result(self._sample(job, outcome))

    def status(self) -> str:
        return str(self._tally)

    def _client(self, sampling: Sampling) -> "Client":
        from lit_align.generation.openai.client import Client

        return Client(
            self,
            key=read_key(self.key_variable, self.url),
            tally=self._tally,
            body=lambda job: self._body(job, sampling),
            refusal=lambda job, told: self._refusal(job.request, sampling, self.context or told),
        )

    def _body(self, job: "Job", sampling: Sampling) -> dict[str, Any]:
        body = {
            "model": self.model,
            "messages": [{"role": message.role, "content": message.content} for message in job.request.prompt],
            "temperature": sampling.temperature,
            "top_p": sampling.top_p,
            self.length_field: sampling.max_new_tokens,
            "seed": sampling.seed_of(job.request.key, job.index),
            **self.extra,
        }
        return {name: value for name, value in body.items() if value is not None}

    def _sample(self, job: "Job", answer: "Answer") -> Sample:
        return Sample(
            key=job.request.key,
            index=job.index,
            text=answer.text,
            num_tokens=answer.response_tokens,
            finish_reason=answer.finish_reason,
            served_by={"endpoint": self.url, **answer.served_by},
        )

    def _refusal(self, request: Request, sampling: Sampling, context: int | None) -> str | None:
        if context is None:
            return None
        reason = refusal(self._num_tokens(request.prompt), sampling=sampling, context=context)
        how = f"counted by {self.tokenizer}" if self.tokenizer else "estimated; tokenizer would count them"
        return None if reason is None else f"{reason} (the prompt's tokens are {how})"

    def _num_tokens(self, prompt: Conversation) -> int:
        if self._chat is not None:
            return len(self._chat.encode(prompt))
        return -(-sum(len(message.content.encode()) for message in prompt) // _BYTES_PER_TOKEN)

    @cached_property
    def _chat(self) -> "ModelChat | None":
        from lit_align.generation.model_chat import ModelChat

        return None if self.tokenizer is None else ModelChat(self.tokenizer, template="tokenizer")

    @cached_property
    def _tally(self) -> Tally:
        return Tally(prompt_price=self.prompt_price, response_price=self.response_price)
