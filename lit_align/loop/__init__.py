"""The loop: content-addressed stages that are skipped when they exist, continue after a kill, and know their parents."""

from lit_align.loop.observer import Observer
from lit_align.loop.plan import Node
from lit_align.loop.stage import Artifact, Stage, StageContext

__all__ = ["Artifact", "Node", "Observer", "Stage", "StageContext"]
