"""The weak-to-strong loop on models and prompts of your own."""

from lit_align.loop.weak_to_strong.inputs import Division, Rows
from lit_align.loop.weak_to_strong.program import WeakToStrong

__all__ = ["Division", "Rows", "WeakToStrong"]
