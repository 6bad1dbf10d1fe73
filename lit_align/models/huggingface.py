"""Any Hugging Face causal language model as a backbone, from a folder, a hub id, or a configuration."""

import copy
import dataclasses
import inspect
import shutil
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, final

import torch
from jaxtyping import Float
from torch import Tensor, nn
from transformers import PretrainedConfig, PreTrainedModel, PreTrainedTokenizerBase

from lit_align.errors import ConfigError
from lit_align.files import put_in_place, sha256_of_json
from lit_align.models.architecture import attention_dropout, logit_transform
from lit_align.models.attention import CARRIED, Attention, watched
from lit_align.models.backbone import Backbone, Convert, Shard
from lit_align.models.batch import PackedBatch
from lit_align.models.compilation import compile_layers
from lit_align.models.fingerprint import model_fingerprint
from lit_align.models.gathering import full_state_dict
from lit_align.models.loading import build, dtype_of, load_config, seeded
from lit_align.models.lora import LoRA, merged, switched_off
from lit_align.models.probe import probe
from lit_align.models.projection import projected_logprobs
from lit_align.models.quantization import FourBit, written_out
from lit_align.models.recomputation import GradientCheckpointing, check_recomputation, recompute
from lit_align.models.writing import write_model


@final
class HFBackbone(Backbone):
    """A Hugging Face causal language model.

    Args:
        pretrained: A folder or hub id to load.
        config: An architecture to train from scratch instead: the fields of its configuration, `model_type` first.
        tokenizer: Where the tokenizer is found; `pretrained` unless given. Required with `config`.
        attention: Executes attention plans; SDPA unless a plugin is named.
        lora: Trains low-rank adapters instead of the weights.
        quantization: Keeps the weights under adapters in 4 bits.
        gradient_checkpointing: Computes activations again in the backward pass instead of keeping them: `true` in
            every layer, a number n in every n-th one; `selective` keeps the results of matrix products and attention.
        activation_offload: Keeps the inputs of recomputed layers in pinned memory of the host.
        compile_layers: Compiles the layers with torch.compile, in the first step, which takes a minute or so.
        dropout: Probability of every dropout of the architecture; the checkpoint's own settings are ignored.
        dtype: What weights are stored and updated in. Small updates vanish in 16 bits: train in float32
            (with `--trainer.precision bf16-mixed` for speed) unless you know better.
        seed: Of the initial weights, with `config`, and of adapters.
    """

    def __init__(
        self,
        pretrained: str | None = None,
        *,
        config: Mapping[str, Any] | None = None,
        tokenizer: str | None = None,
        attention: Attention | None = None,
        lora: LoRA | None = None,
        quantization: FourBit | None = None,
        gradient_checkpointing: GradientCheckpointing = False,
        activation_offload: bool = False,
        compile_layers: bool = False,
        dropout: float = 0.0,
        dtype: str = "float32",
        seed: int = 0,
    ) -> None:
        super().__init__()
        if (pretrained is None) == (config is None):
            raise ConfigError("a backbone takes either `pretrained` (a folder or hub id) or `config` (from scratch)")
        if pretrained is None and tokenizer is None:
            raise ConfigError(
                "a backbone from `config` needs `tokenizer`: a folder, hub id or SentencePiece .model file"
            )
        if quantization is not None and lora is None:
            raise ConfigError("quantization keeps weights in 4 bits, which cannot be trained: set lora too")
        if compile_layers and gradient_checkpointing:
            # torch runs a recomputed layer that is left for its attention as it is, without a word.
            raise ConfigError("compile_layers and gradient_checkpointing exclude each other: choose speed or memory")
        dtype_of(dtype)
        check_recomputation(gradient_checkpointing, offload=activation_offload)
        self.pretrained = pretrained
        self.config = None if config is None else dict(config)
        self.tokenizer = tokenizer
        self.attention = attention or Attention()
        self.lora = lora
        self.quantization = quantization
        self.gradient_checkpointing: GradientCheckpointing = gradient_checkpointing
        self.activation_offload = activation_offload
        self.compile_layers = compile_layers
        self.dropout = dropout
        self.dtype = dtype
        self.seed = seed
        self.model: PreTrainedModel | None = None
        self._hf_config: PretrainedConfig | None = None

    def configure_model(self, *, convert: Convert | None = None, shard: Shard | None = None) -> None:
        if self.model is not None:
            return
        dtype = dtype_of(self.dtype)
        model = build(self.pretrained, self._read_config(), dtype=dtype, dropout=self.dropout, seed=self.seed)
        self.model = model
        self._logits = logit_transform(model)
        # The architecture is probed where it was built, on the CPU in most runs, where a plugin's kernel may not exist.
        attention, (self.attention, demands) = self.attention, watched()
        probe(self, model)
        self.attention = attention
        dropout = attention_dropout(model.config.get_text_config())
        attention.check([dataclasses.replace(demand, dropout=dropout) for demand in demands])
        if self.quantization is not None:
            if shard is not None:
                raise ConfigError("quantization: weights in 4 bits cannot be sharded; use DDP, or one device")
            self.quantization.quantise(model)
        if self.gradient_checkpointing:
            recompute(model, self.gradient_checkpointing, offload=self.activation_offload)
        if self.lora is not None:
            with seeded(self.seed):
                self.lora.inject(model)
        if convert is not None:
            stored = {name: parameter.dtype for name, parameter in self.named_parameters()}
            convert(self)
            self._refuse_other_dtypes(stored)
        if self.compile_layers:
            compile_layers(model)
        if shard is not None:
            shard(self)

    def logprobs(self, batch: PackedBatch) -> Float[Tensor, " target"]:
        return self._project(self._hidden(batch), batch)

    def end_states(self, batch: PackedBatch) -> Float[Tensor, "response dim"]:
        return self._hidden(batch)[batch.end_index]

    def logprobs_and_end_states(
        self, batch: PackedBatch
    ) -> tuple[Float[Tensor, " target"], Float[Tensor, "response dim"]]:
        hidden = self._hidden(batch)
        return self._project(hidden, batch), hidden[batch.end_index]

    def _hidden(self, batch: PackedBatch) -> Float[Tensor, "token dim"]:
        decoder = self.built.get_decoder()
        batch = batch.padded(self.token_multiple)
        position_ids = batch.position_ids[None]
        setattr(position_ids, CARRIED, (batch.plan, self.attention))
        # position_ids, no mask and no cache together: any other combination lets transformers guess segments.
        output = decoder(
            input_ids=batch.input_ids[None],
            position_ids=position_ids,
            attention_mask=None,
            use_cache=False,
            attention_plan=batch.plan,
            attention=self.attention,
        )
        return output.last_hidden_state[0]

    def _project(self, hidden: Float[Tensor, "token dim"], batch: PackedBatch) -> Float[Tensor, " target"]:
        head = self.built.get_output_embeddings()
        states = hidden.index_select(0, batch.source_index)
        if type(head) is not nn.Linear:  # an adapter or a converted layer computes more than a product
            raise ConfigError(f"the output head is a {type(head).__name__}: exclude it from adapters and conversion")
        return projected_logprobs(states, head.weight, head.bias, batch.target_ids, transform=self._logits)

    @property
    def built(self) -> PreTrainedModel:
        """The transformers model."""
        if self.model is None:
            raise ConfigError("the backbone is not built: call configure_model() first")
        return self.model

    @property
    def hidden_size(self) -> int:
        return self._read_config().get_text_config().hidden_size

    @property
    def vocab_size(self) -> int:
        return self._read_config().get_text_config().vocab_size

    @property
    def max_length(self) -> int | None:
        config = self._read_config().get_text_config()
        rope = getattr(config, "rope_parameters", None) or {}
        # These change every position with the longest row of a batch, which packing does not know.
        if rope.get("rope_type") in ("longrope", "dynamic"):
            original = rope.get("original_max_position_embeddings")
            return original or getattr(config, "original_max_position_embeddings", None)
        return getattr(config, "max_position_embeddings", None)

    @property
    def tokenizer_source(self) -> str:
        return str(self.tokenizer or self.pretrained)

    def fingerprint(self) -> str:
        if self.pretrained is not None:
            weights = model_fingerprint(self.pretrained)
        else:
            weights = sha256_of_json({"config": self.config, "seed": self.seed, "torch": torch.__version__})
        return weights if self.quantization is None else sha256_of_json([weights, vars(self.quantization)])

    def describe(self) -> dict[str, Any]:
        nested = {"lora": self.lora, "quantization": self.quantization}
        names = inspect.signature(HFBackbone).parameters.keys() - {"attention", *nested}
        described = {name: None if value is None else dict(vars(value)) for name, value in nested.items()}
        return {**{name: getattr(self, name) for name in sorted(names)}, **described}

    def frozen_copy(self) -> "HFBackbone":
        plain = {"gradient_checkpointing": False, "activation_offload": False, "dropout": 0.0}
        nested = {"lora": self.lora, "quantization": self.quantization, "attention": copy.deepcopy(self.attention)}
        other = HFBackbone(**{**self.describe(), **plain, **nested})
        other.lora = None  # the weights that adapters are added to, in the precision that they are kept in
        return other.requires_grad_(False).eval()

    @property
    def has_adapters(self) -> bool:
        return self.lora is not None

    def without_adapters(self) -> AbstractContextManager[None]:
        return switched_off(self.built)

    def save(
        self, folder: Path, *, tokenizer: PreTrainedTokenizerBase, terminator_ids: Sequence[int], write: bool = True
    ) -> None:
        state = full_state_dict(self.built)
        if not write:
            return
        if self.quantization is not None:
            state = written_out(self.built, state)
        if self.lora is not None:
            state = merged(self.built, state)
        building = folder.with_name(f".{folder.name}.tmp")
        shutil.rmtree(building, ignore_errors=True)
        building.mkdir(parents=True)
        write_model(self.built, state, building, tokenizer, terminator_ids)
        put_in_place(building, folder)

    def _read_config(self) -> PretrainedConfig:
        if self._hf_config is None:
            self._hf_config = load_config(self.pretrained, self.config)
        return self._hf_config

    def _refuse_other_dtypes(self, stored: Mapping[str, torch.dtype]) -> None:
        for name, parameter in self.named_parameters():
            if parameter.dtype != stored.get(name, parameter.dtype):
                raise ConfigError(
                    f"trainer.precision stores {name} in {parameter.dtype}, the backbone in {stored[name]}: small "
                    "updates would vanish.\nUse --trainer.precision bf16-mixed, or say dtype: bfloat16 in the backbone "
                    "(adapters stay in float32)."
                )
