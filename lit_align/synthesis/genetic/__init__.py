"""Genetic Instruct (arXiv:2407.21077): programming tasks that multiply by mutation and crossover, the fit survive."""

from lit_align.synthesis.genetic.evolution import Evolved, GeneticInstruct
from lit_align.synthesis.genetic.generation import Role
from lit_align.synthesis.genetic.testing import Examine, FileExam

__all__ = ["Evolved", "Examine", "FileExam", "GeneticInstruct", "Role"]
