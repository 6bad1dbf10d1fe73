"""The stage that cleans prompts."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, final

from lit_align.data.rows import Kind
from lit_align.errors import ConfigError
from lit_align.files import write_jsonl
from lit_align.loop.parts import ROWS, Part, model_path
from lit_align.loop.sampling import read_rows
from lit_align.loop.stage import Artifact, Stage, StageContext
from lit_align.loop.synthesis.settings import Embedding
from lit_align.synthesis.hygiene.embedding import EmbedderLibrary
from lit_align.synthesis.hygiene.rules import make_rules
from lit_align.synthesis.hygiene.settings import Cleaning


@final
@dataclass(frozen=True, kw_only=True)
class CleanPrompts(Stage):
    """Drops prompts that repeat others or hold evaluation prompts, `rows.jsonl`; the others go to `dropped.jsonl`.

    Args:
        rows: Prompts, or other rows with one.
        cleaning: What is done.
        evaluations: Files with the prompts of evaluations.
        embedder: A model that embeds, for semantic duplicates.
        library: What reads it.
        kind: What the rows are.
    """

    version: ClassVar[int] = 2
    shown: ClassVar[tuple[str, ...]] = ("kept",)

    rows: Part
    cleaning: Cleaning
    evaluations: tuple[Part, ...] = ()
    embedder: Artifact | None = None
    library: EmbedderLibrary = "transformers"
    kind: Kind = "prompt"

    def run(self, output: Path, context: StageContext) -> dict[str, Any]:
        """Cleans; nothing that is written or returned depends on where files lie."""
        from lit_align.synthesis.hygiene.cleaning import Cleaner
        from lit_align.synthesis.hygiene.contamination import read_evaluation
        from lit_align.synthesis.hygiene.embedding import load_embedder

        overlap = self.cleaning.overlap
        sets = [read_evaluation(part.path, split="test", overlap=overlap) for part in self.evaluations]
        embedder = None if self.embedder is None else load_embedder(model_path(self.embedder), library=self.library)
        cleaner = Cleaner(self.cleaning, kind=self.kind, evaluations=sets, embedder=embedder)
        cleaner.take(self._placed())
        write_jsonl(output / ROWS, cleaner.kept(self._placed()))
        dropped = cleaner.dropped(self._placed())
        write_jsonl(output / "dropped.jsonl", ({"reason": row["reason"], "row": row["row"]} for row in dropped))
        found = cleaner.contamination.to_dict()
        rows = {
            part.artifact.title: found[held.name]["rows"] for part, held in zip(self.evaluations, sets, strict=True)
        }
        return {**cleaner.counts.to_dict(), "contamination": rows, "licences": cleaner.licences.to_dict()}

    def _placed(self) -> Iterator[tuple[str, dict[str, Any]]]:
        return ((f"{ROWS}:{number}", row) for number, row in enumerate(read_rows(self.rows.path), start=1))


def require_cleaning(cleaning: Cleaning, embedding: Embedding | None, *, are_tagged: bool) -> None:
    """Refuses what can only fail or do nothing once everything has been generated, for rows without rewards.

    Args:
        cleaning: What is to be done.
        embedding: What embeds.
        are_tagged: Whether the rows will have tags.

    Raises:
        ConfigError: Some of it needs what is not there.
    """
    make_rules(cleaning.rules, own_names=cleaning.own_names)  # it names those that it does not know
    if (cleaning.semantic is None) != (embedding is None):
        raise ConfigError("cleaning.semantic (a cosine) and embedding (what embeds) go together: give both, or neither")
    for name in ("near", "semantic"):
        threshold = getattr(cleaning, name)
        if threshold is not None and not 0 < threshold <= 1:
            raise ConfigError(f"cleaning.{name} must lie above 0 and at most at 1, got {threshold}")
    if cleaning.keep == "reward":
        raise ConfigError("cleaning.keep: no row has a reward when they are cleaned; keep the first")
    if cleaning.sample is not None and not are_tagged and cleaning.tags_by == "column":
        raise ConfigError(
            "cleaning.sample draws by tags, and no row has any\n"
            "Set cleaning.tags_by to rules; or give tags, where the program has them."
        )
