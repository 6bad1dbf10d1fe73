"""The loop on real data sets: a small model from nothing, and pretrained weights."""

from lit_align.loop.real_data.pretrained import Pretrained
from lit_align.loop.real_data.program import RealData

__all__ = ["Pretrained", "RealData"]
