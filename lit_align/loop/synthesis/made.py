"""What the stages of synthetic data will make, for the report and the files."""

from dataclasses import dataclass, field

from lit_align.loop.parts import Part
from lit_align.loop.stage import Artifact

PRODUCTS = ("sft", "dialogues", "preference_prompts", "preferences", "preferences_verified")
"""The file names of all that the program can make."""


@dataclass(frozen=True, kw_only=True)
class Product:
    """Something the program is run for.

    Attributes:
        rows: The rows.
        description: What is measured of them; None for pairs, which have a table of their own.
        candidates: Of pairs all responses with their scores, a row a prompt.
    """

    rows: Part
    description: Artifact | None = None
    candidates: Part | None = None


@dataclass(kw_only=True)
class Made:
    """What the stages will make, for the report and the files.

    Attributes:
        prompts: The prompts of each task before they are divided.
        products: By file name.
    """

    prompts: dict[str, Part] = field(default_factory=dict)
    products: dict[str, Product] = field(default_factory=dict)
