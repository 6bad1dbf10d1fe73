"""Chat servers that answer as told."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lit_align.data.rows import PromptOnly
from lit_align.generation.base import Sampling
from lit_align.generation.openai import OpenAIGenerator
from lit_align.generation.rows import Generated, generate_rows

FOLDER = str(Path(__file__).parent)
if FOLDER not in sys.path:
    sys.path.append(FOLDER)

from openai_prompts import PROMPTS  # noqa: E402 - from the folder that was just added


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Waits between attempts are short."""
    monkeypatch.setattr("lit_align.generation.openai.client._FIRST_DELAY", 0.005)
    monkeypatch.setattr("lit_align.generation.openai.client._LONGEST_DELAY", 0.05)


@pytest.fixture
def ask(tmp_path: Path) -> Callable[..., Generated]:
    """Generates into `out.jsonl` from a server."""

    def run(
        url: str,
        prompts: list[PromptOnly] = PROMPTS,
        *,
        name: str = "out.jsonl",
        sampling: Sampling | None = None,
        max_failed: float = 0.0,
        **options: Any,
    ) -> Generated:
        generator = OpenAIGenerator(base_url=url, model="stub", **options)
        sampling = sampling or Sampling(max_new_tokens=5)
        return generate_rows(
            prompts, generator=generator, output=tmp_path / name, sampling=sampling, max_failed=max_failed
        )

    return run
