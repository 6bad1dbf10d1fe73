"""Generation: requests in, samples out; in this process, or by a server."""

from lit_align.generation.base import Generator, Request, Sample, Sampling

__all__ = ["Generator", "Request", "Sample", "Sampling"]
