"""Prompts for a server, what it answers, and how the output is read."""

import json
from pathlib import Path
from typing import Any

from stub_server import Reply, chat

from lit_align.data.rows import Message, PromptOnly

KEY = "sk-very-secret"


def prompt(text: str, place: int = 1) -> PromptOnly:
    return PromptOnly(prompt=(Message(role="user", content=text),), fields={}, place=f"prompts.jsonl:{place}")


PROMPTS = [prompt(f"question {number}", number) for number in range(1, 21)]


def read(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def good(body: dict[str, Any], times: int) -> Reply:
    return chat(body)
