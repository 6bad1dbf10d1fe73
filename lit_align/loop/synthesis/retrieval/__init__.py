"""Sets for the evaluation of retrieval as a program of the loop."""

from lit_align.loop.synthesis.retrieval.program import RetrievalEvaluation

__all__ = ["RetrievalEvaluation"]
