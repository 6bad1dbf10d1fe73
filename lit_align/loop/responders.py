"""What answers prompts in a stage, and how it is asked."""

import dataclasses
from pathlib import Path
from typing import Any

from lit_align.generation.base import Generator, Sampling
from lit_align.generation.huggingface import HFGenerator
from lit_align.loop.parts import Part, model_path
from lit_align.loop.stage import Artifact

Responder = Artifact | Generator
"""What answers prompts: a model of the loop, or a generator that is none, such as a server."""


def sample(
    model: Responder,
    prompts: Part,
    output: Path,
    *,
    max_failed: float = 0.0,
    may_be_empty: bool = False,
    **sampling: Any,
) -> dict[str, Any]:
    """Answers the prompts of a file, one row a sample, and returns the counts."""
    from lit_align.data.sources import read_prompts
    from lit_align.generation.rows import generate_rows

    rows, accounting = read_prompts(prompts.path)
    made = generate_rows(
        rows,
        generator=generator_of(model),
        output=output,
        sampling=Sampling(**sampling),
        max_failed=max_failed,
        may_be_empty=may_be_empty,
    )
    return {**accounting.to_dict(), **dataclasses.asdict(made)}


def generator_of(model: Responder) -> Generator:
    """What answers for a model of the loop: itself, in this process."""
    return model if isinstance(model, Generator) else HFGenerator(model=model_path(model))
