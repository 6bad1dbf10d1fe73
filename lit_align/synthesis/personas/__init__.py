"""Questions for the evaluation of retrieval, as different people would ask them."""

from lit_align.synthesis.personas.beir import RetrievalSet
from lit_align.synthesis.personas.retrieval import PersonaQuestions

__all__ = ["PersonaQuestions", "RetrievalSet"]
