"""What a call to `generate_rows` asks for, before a model is loaded."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, final

from lit_align.data.chat import ChatFormat
from lit_align.data.rows import PromptOnly
from lit_align.errors import DataError
from lit_align.generation import output as schema
from lit_align.generation.base import Request, Sampling
from lit_align.generation.huggingface import refusal
from lit_align.models.fingerprint import model_fingerprint
from lit_align.models.tokenizer import tokenizer_fingerprint
from lit_align.progress import track

_RECORDED_VERSIONS = ("lit-align", "torch", "transformers")


@dataclass(frozen=True, kw_only=True)
class Answerable:
    """Prompts as tokens.

    Attributes:
        rows: The prompts that can be answered.
        requests: The same as tokens.
        refused: Of the others the id, the place and the reason.
    """

    rows: list[PromptOnly]
    requests: list[Request]
    refused: list[dict[str, str]]


def answerable_prompts(
    prompts: Sequence[PromptOnly], *, chat: ChatFormat, sampling: Sampling, context: int | None
) -> Answerable:
    """Tokenises prompts and sorts out those that exceed `context` tokens (None: no limit).

    Raises:
        DataError: The template cannot express a prompt, or no prompt is left.
    """
    found = Answerable(rows=[], requests=[], refused=[])
    for row, name in zip(track(prompts, "tokenising prompts"), schema.row_ids(prompts), strict=True):
        request = Request(key=name, prompt_ids=_encode(row, chat))
        if reason := refusal(request, sampling=sampling, context=context):
            found.refused.append({"id": name, "place": row.place, "reason": reason})
        else:
            found.rows.append(row)
            found.requests.append(request)
    if not found.rows:
        first = found.refused[0] if found.refused else {"place": "prompts", "reason": "there are none"}
        raise DataError(
            f"none of {len(prompts)} prompts can be answered; the first, {first['place']}: {first['reason']}"
        )
    return found


@final
@dataclass(frozen=True, kw_only=True)
class Plan:
    """What is asked, of which generator, and where it goes."""

    answerable: Answerable
    sampling: Sampling
    output: Path
    generator: dict[str, Any]

    @property
    def num_samples(self) -> int:
        """Number of output rows."""
        return len(self.answerable.rows) * self.sampling.num_samples

    @property
    def part(self) -> Path:
        """Where finished samples go until all are."""
        return self.output.with_name(f"{self.output.name}.part.jsonl")

    @property
    def refused_path(self) -> Path:
        """Where prompts that were not answered are listed."""
        return self.output.with_name(f"{self.output.name}.refused.jsonl")

    def request(self) -> dict[str, Any]:
        """Identifies what is asked, as the first line of a part file."""
        return {"generator": self.generator, "prompts": schema.digest(self.answerable.rows)}

    def frames(self) -> Iterator[dict[str, Any]]:
        """Every output row without what is drawn, in order."""
        for row, request in zip(self.answerable.rows, self.answerable.requests, strict=True):
            for index in range(self.sampling.num_samples):
                seed = self.sampling.seed_of(request.key, index)
                yield schema.frame(row, row_id=request.key, index=index, generator=self.generator, seed=seed)


def _encode(row: PromptOnly, chat: ChatFormat) -> list[int]:
    try:
        return chat.encode_prompt(row.prompt)
    except DataError as error:
        raise DataError(f"{row.place}: {error}") from error


def describe(model: str | Path, chat: ChatFormat, sampling: Sampling, *, dtype: str) -> dict[str, Any]:
    """The generator as every row names it; a folder by its name alone, so that rows do not depend on where it lies."""
    name = Path(model).resolve().name if Path(model).is_dir() else str(model)
    return {
        "model": {"name": name, "fingerprint": model_fingerprint(str(model))},
        "tokenizer": tokenizer_fingerprint(chat.tokenizer),
        "template": chat.fingerprint,
        "sampling": asdict(sampling),
        "dtype": dtype,
        "engine": "huggingface",
        "versions": {package: version(package) for package in _RECORDED_VERSIONS},
    }
