"""What the quickstart is made of: the sizes of its base models, and the artifacts its stages make."""

from dataclasses import dataclass, field
from typing import Any

from lit_align.loop.stage import Artifact

# Complexity and verbosity describe the toy's prompts, not how good its answers are.
REWARD_WEIGHTS = {"helpfulness": 0.5, "correctness": 0.4, "coherence": 0.1}


@dataclass(frozen=True, kw_only=True)
class Base:
    """A base model of the toy: a Llama from scratch.

    Attributes:
        hidden_size: Its width.
        num_layers: Its depth.
        steps: Pretraining steps.
        later_steps: Further steps, after which it is the stronger base of the second iteration.
        lr: Peak learning rate.
        batch_size: Rows a step.
    """

    hidden_size: int
    num_layers: int
    steps: int
    later_steps: int = 0
    lr: float = 3e-3
    batch_size: int = 96

    def architecture(self) -> dict[str, Any]:
        """The fields of its Hugging Face configuration."""
        return {
            "model_type": "llama",
            "vocab_size": 36,
            "hidden_size": self.hidden_size,
            "intermediate_size": 8 * self.hidden_size // 3,
            "num_hidden_layers": self.num_layers,
            "num_attention_heads": 4,
            "max_position_embeddings": 64,
            "bos_token_id": 2,
            "eos_token_id": 3,
            "pad_token_id": 0,
        }


WEAK = Base(hidden_size=48, num_layers=2, steps=650)
STRONG = Base(hidden_size=96, num_layers=2, steps=500, later_steps=300)


@dataclass(kw_only=True)
class Made:
    """What the stages will make, for the report: artifacts by their part in the experiment."""

    data: Artifact = field(init=False)
    weak_base: Artifact = field(init=False)
    teacher: Artifact = field(init=False)
    ratings: dict[int, Artifact] = field(default_factory=dict)
    reward_fits: dict[int, Artifact] = field(default_factory=dict)
    reward_evaluations: dict[int, Artifact] = field(default_factory=dict)
    bases: dict[int, Artifact] = field(default_factory=dict)
    reward_models: dict[int, Artifact] = field(default_factory=dict)
    champions: dict[int, Artifact] = field(default_factory=dict)
    rows: list[tuple[str, int | None, Artifact, Artifact]] = field(default_factory=list)
    data_checks: dict[tuple[str, int], Artifact] = field(default_factory=dict)
