"""The stage that says what items are like."""

from collections import Counter, defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, final

from lit_align.data.categories import categories_of
from lit_align.loop.parts import Part
from lit_align.loop.sampling import read_rows
from lit_align.loop.stage import Stage, StageContext
from lit_align.synthesis.hygiene.tagging import LABELS
from lit_align.synthesis.items import messages_of

_MOST_LABELS = 100


@final
@dataclass(frozen=True, kw_only=True)
class Describe(Stage):
    """Counts items, their tasks and the commonest topics and tags, and measures their lengths; writes nothing.

    Args:
        items: What is described.
        by: What `meta` calls the tasks.
    """

    version: ClassVar[int] = 2
    shown: ClassVar[tuple[str, ...]] = ("rows",)

    items: Part
    by: str = "task"

    def run(self, output: Path, context: StageContext) -> dict[str, Any]:
        """Reads and measures."""
        tasks: Counter[str] = Counter()
        labels: dict[str, Counter[str]] = defaultdict(Counter)
        turns = characters = 0
        rewards: list[float] = []
        for row in read_rows(self.items.path):
            messages = messages_of(row)
            tasks[row["meta"].get(self.by, row["kind"])] += 1
            for name, label in categories_of(row):
                labels[name][label] += 1
            turns += len(messages)
            characters += sum(len(message["content"]) for message in messages)
            rewards += [row["reward"]] if "reward" in row else []
        number = tasks.total()
        means = {"turns": turns / number, "characters": characters / number} if number else {}
        means |= {"reward": sum(rewards) / len(rewards)} if rewards else {}
        found = {name: dict(labels[name].most_common(_MOST_LABELS)) for name in LABELS if name in labels}
        return {"rows": number, "tasks": dict(tasks.most_common()), "labels": found, **means}
