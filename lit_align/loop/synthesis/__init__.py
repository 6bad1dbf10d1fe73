"""Synthetic data: prompts, dialogues, answers, code and retrieval sets that models make, as stages of the loop."""

from lit_align.loop.synthesis.genetic import GeneticInstructions
from lit_align.loop.synthesis.program import SyntheticData
from lit_align.loop.synthesis.retrieval import RetrievalEvaluation
from lit_align.loop.synthesis.settings import Embedding, Keywords, Preferences, Tagging, Task, Topics, Uses, Writing
from lit_align.loop.synthesis.sources import PassageSource, RealSource, TextSource, VerifiedSource

__all__ = [
    "Embedding",
    "GeneticInstructions",
    "Keywords",
    "PassageSource",
    "Preferences",
    "RealSource",
    "RetrievalEvaluation",
    "SyntheticData",
    "Tagging",
    "Task",
    "TextSource",
    "Topics",
    "Uses",
    "VerifiedSource",
    "Writing",
]
