"""The steps every alignment loop is made of, as stages: teach by demonstrations, rate, prefer."""

import copy
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from lit_align.errors import ConfigError
from lit_align.generation.base import MAX_FAILED, Sampling
from lit_align.loop.fit import Fit
from lit_align.loop.parts import Part, rows_of
from lit_align.loop.responders import Responder
from lit_align.loop.runner import Runner
from lit_align.loop.sampling import Generate, Pair, Score, Select
from lit_align.loop.stage import Artifact

POLICY = "model.init_args.policy.init_args.pretrained"
"""The key of a config that names the weights a policy starts from."""

BACKBONE = "model.init_args.backbone.init_args.pretrained"
"""The same of a reward model."""

TRAIN = "data.init_args.train"
"""The key of a config that names the rows to train on."""


@dataclass(frozen=True, kw_only=True)
class Training:
    """Settings of a training stage.

    Attributes:
        lr: Peak learning rate.
        epochs: Passes over the rows.
        batch_size: Demonstrations, pairs or prompts an optimizer step.
        model: Further arguments of the module, by name.
        data: Further arguments of the data module, by name.
        trainer: Further arguments of the Trainer, by name.
    """

    lr: float
    epochs: int = 1
    batch_size: int = 32
    model: dict[str, Any] = field(default_factory=dict)
    data: dict[str, Any] = field(default_factory=dict)
    trainer: dict[str, Any] = field(default_factory=dict)

    def config(self, objective: str, data: str, *, network: str = "policy", **model: Any) -> dict[str, Any]:
        """The config of `lit-align fit`; `network` names the module's argument that takes the backbone."""
        optimizer = {"class_path": "torch.optim.AdamW", "init_args": {"lr": self.lr, "betas": [0.9, 0.98]}}
        schedule = {"shape": "cosine", "warmup_steps": 0.1, "final": 0.1}
        backbone = {"class_path": "lit_align.HFBackbone", "init_args": {}}
        defaults = {network: backbone, "optimizer": optimizer, "schedule": schedule}
        return {
            "model": {"class_path": f"lit_align.{objective}", "init_args": _merged({**defaults, **model}, self.model)},
            "data": {
                "class_path": f"lit_align.{data}",
                "init_args": {"global_batch_size": self.batch_size, **self.data},
            },
            "trainer": {"max_epochs": self.epochs, "enable_progress_bar": False, **self.trainer},
        }


@dataclass(frozen=True, kw_only=True)
class Sampled:
    """How a policy is sampled for training data.

    Attributes:
        num_samples: Responses of each prompt.
        temperature: Of the sampling.
        max_new_tokens: Most tokens of a response.
        top_p: Share of probability that is sampled from.
        max_failed: Share of the responses that may fail; see `Generate`.
    """

    num_samples: int = 1
    temperature: float = 1.0
    max_new_tokens: int = 256
    top_p: float = 1.0
    max_failed: float = field(default=MAX_FAILED, metadata={"fingerprint": False})

    def __post_init__(self) -> None:
        if not 0 <= self.max_failed <= 1:
            raise ConfigError(f"max_failed is a share, from 0 to 1, got {self.max_failed}")

    def seeded(self, seed: int) -> Sampling:
        """The same as a generator takes it."""
        return Sampling(seed=seed, **{name: value for name, value in vars(self).items() if name != "max_failed"})


@dataclass(frozen=True, kw_only=True)
class Replay:
    """Demonstrations of another stage that are trained on again.

    Attributes:
        rows: Where they are.
        fraction: Their share of the mixture.
        split: Which part of a folder or hub data set.
    """

    rows: Part
    fraction: float
    split: str = "train"


@dataclass(frozen=True)
class Rounds:
    """Adds stages to a runner under titles of one iteration.

    Attributes:
        runner: Takes the stages.
        iteration: The loop's iteration; None outside it.
        seed: Of every stage that draws.
        num_devices: Devices of a training stage.
    """

    runner: Runner
    iteration: int | None = None
    seed: int = 0
    num_devices: int = 1

    def generate(self, model: Responder, prompts: Part, sampled: Sampled, *, title: str) -> Artifact:
        """Samples of a model, or of a generator such as a server."""
        stage = Generate(model=model, prompts=prompts, seed=self.seed, **vars(sampled))
        return self.runner.add(stage, title=title, iteration=self.iteration)

    def score(self, reward_model: Artifact, samples: Artifact, *, title: str) -> Artifact:
        """The samples with their rewards."""
        return self.runner.add(Score(model=reward_model, rows=rows_of(samples)), title=title, iteration=self.iteration)

    def select(
        self, samples: Artifact, *, keep: float, choose: Literal["first", "best"] = "first", title: str
    ) -> Artifact:
        """One response a prompt, the best share of the prompts."""
        return self.runner.add(
            Select(rows=rows_of(samples), keep=keep, choose=choose), title=title, iteration=self.iteration
        )

    def sft(
        self, base: Artifact, rows: Part, training: Training, *, title: str, replay: Replay | None = None
    ) -> Artifact:
        """A policy fine-tuned on demonstrations, with some of another stage's among them."""
        config = training.config("SFT", "SFTData")
        if replay is None:
            return self._fit(config, {POLICY: base}, {TRAIN: rows}, title=title)
        repeated = {"path": None, "split": replay.split, "replay_fraction": replay.fraction, "of": "mixture"}
        config["data"]["init_args"]["train"] = [None, repeated]
        return self._fit(config, {POLICY: base}, {f"{TRAIN}.0": rows, f"{TRAIN}.1.path": replay.rows}, title=title)

    def reward_model(
        self, base: Artifact, ratings: Part, training: Training, *, title: str, split: str = "train"
    ) -> Artifact:
        """A reward model that has learned ratings."""
        config = training.config("RewardRegression", "RatingData", network="backbone")
        config["data"]["init_args"]["train"] = {"path": None, "split": split}
        return self._fit(config, {BACKBONE: base}, {f"{TRAIN}.path": ratings}, title=title)

    def prefer(
        self,
        policy: Artifact,
        reward_model: Artifact,
        prompts: Part,
        *,
        objective: Literal["DPO", "RPO"],
        training: Training,
        sampled: Sampled,
        min_margin: float,
        finished_only: bool = True,
        title: str,
    ) -> Artifact:
        """One round: the policy's own samples, scored and paired, train it against itself as the reference."""
        samples = self.generate(policy, prompts, sampled, title=f"samples for {title}")
        scored = self.score(reward_model, samples, title=f"scores for {title}")
        pair = Pair(rows=rows_of(scored), min_margin=min_margin, finished_only=finished_only)
        pairs = self.runner.add(pair, title=f"pairs for {title}", iteration=self.iteration)
        config = training.config(objective, "PreferenceData")
        return self._fit(config, {POLICY: policy}, {TRAIN: rows_of(pairs)}, title=title)

    def _fit(
        self, config: dict[str, Any], models: dict[str, Artifact], rows: dict[str, Part], *, title: str
    ) -> Artifact:
        if self.num_devices > 1:
            config["trainer"]["devices"] = self.num_devices
        stage = Fit(config=config, models=models, rows=rows, seed=self.seed)
        return self.runner.add(stage, title=title, iteration=self.iteration, num_devices=self.num_devices)


def _merged(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    result = copy.deepcopy(dict(base))
    for key, value in over.items():
        both = isinstance(value, Mapping) and isinstance(result.get(key), Mapping)
        result[key] = _merged(result[key], value) if both else value
    return result
