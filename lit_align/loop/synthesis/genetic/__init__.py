"""Genetic Instruct as a program of the loop: colonies of programming tasks, each a stage."""

from lit_align.loop.synthesis.genetic.program import GeneticInstructions

__all__ = ["GeneticInstructions"]
