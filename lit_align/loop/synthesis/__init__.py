"""Synthetic data: prompts, dialogues and answers that models make, as stages of the loop."""

from lit_align.loop.synthesis.program import SyntheticData
from lit_align.loop.synthesis.settings import Embedding, Keywords, Preferences, Tagging, Task, Topics, Uses, Writing
from lit_align.loop.synthesis.sources import RealSource, TextSource, VerifiedSource

__all__ = [
    "Embedding",
    "Keywords",
    "Preferences",
    "RealSource",
    "SyntheticData",
    "Tagging",
    "Task",
    "TextSource",
    "Topics",
    "Uses",
    "VerifiedSource",
    "Writing",
]
