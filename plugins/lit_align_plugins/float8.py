"""Matrix products of linear layers in 8 bits, through torchao's float8 training; weights stay as they are stored."""

import dataclasses
import logging
import re
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from fnmatch import fnmatch
from importlib import metadata
from typing import Any, Literal, final

import torch
from lightning.pytorch import LightningModule
from lightning.pytorch.plugins import Precision
from lightning.pytorch.strategies import ModelParallelStrategy
from torch import nn
from transformers import PreTrainedModel

from lit_align.announce import announce
from lit_align.errors import ConfigError
from lit_align.models.backbone import Backbone

_OLDEST = (8, 9)
_ADAPTER = "adapters"
_MULTIPLE = 16
"""Of every size of a float8 product: features, and tokens, over which the gradient of the weights is summed."""


@final
class Float8(Precision):
    """Forward and backward products of the decoder's linear layers in float8, everything else in bfloat16 by autocast.

    Weights, optimizer states, checkpoints and the exported model are as without it. Left as they are: the output head,
    LoRA adapters, reward heads, and layers whose sizes 16 does not divide; what was converted is said. Packed rows are
    padded to a multiple of 16 tokens by a segment nobody reads. Faster only for large layers, and compiled.

    Args:
        recipe: `tensorwise`: one scale a tensor, the fastest. `rowwise`: one a row, more exact. `rowwise_with_gw_hp`:
            also keeps the gradients of weights in 16 bits, the most exact.
        skip: Patterns of names of further layers that are left as they are, such as `*.layers.0.*`.
        min_features: Layers with fewer input or output features are left as they are: converting a small layer costs
            more than it saves, by torchao's measurements on an H100 below about 1024 (tensorwise) or 2048 (rowwise).
        float8_all_gather: With FSDP2 weights also travel in float8, a quarter of the bytes of float32; `tensorwise`
            alone can do it.
        emulate: Computes the products in float32 from operands rounded to float8: to try it without a GPU that has it.
            Slower, not faster.

    Raises:
        ConfigError: torchao is missing, or there is no GPU of compute capability 8.9 and `emulate` is false.
    """

    def __init__(
        self,
        recipe: Literal["tensorwise", "rowwise", "rowwise_with_gw_hp"] = "tensorwise",
        *,
        skip: Sequence[str] = (),
        min_features: int = 0,
        float8_all_gather: bool = False,
        emulate: bool = False,
    ) -> None:
        self.config = _config(recipe, emulate=emulate, float8_all_gather=float8_all_gather)
        if not emulate:
            _require_device()
        self.skip = tuple(skip)
        self.min_features = min_features
        options = [recipe, *self.skip, *([f"from {min_features} features"] if min_features else [])]
        # Reference log-probabilities are cached under this name: it tells what changes them.
        self.precision: Any = f"bf16-mixed with float8 ({', '.join(options)}{', emulated' if emulate else ''})"
        self._latest: Callable[[], nn.Module | None] = lambda: None

    def convert_module(self, module: nn.Module) -> nn.Module:
        """Converts the backbones in it, once, in place; nothing outside of a backbone."""
        if isinstance(module, LightningModule):  # the strategy's call, when everything is built
            self._require_sharding(module)
        for backbone in [m for m in module.modules() if isinstance(m, Backbone)]:
            if backbone.token_multiple != _MULTIPLE:
                self._convert(backbone)
                self._latest = weakref.ref(backbone)  # a reference's backbone may go away
        return module

    def _require_sharding(self, module: LightningModule) -> None:
        sharded = isinstance(module.trainer.strategy, ModelParallelStrategy)
        if self.config.enable_fsdp_float8_all_gather and not sharded:
            raise ConfigError(
                f"float8_all_gather needs weights that are sharded, not {type(module.trainer.strategy).__name__}\n"
                "Say trainer.strategy: fsdp2, or leave it out."
            )

    def _convert(self, backbone: Backbone) -> None:
        from torchao.float8 import convert_to_float8_training
        from torchao.float8.float8_linear import Float8Linear

        heads = [m.get_output_embeddings() for m in backbone.modules() if isinstance(m, PreTrainedModel)]
        layers = {name: m for name, m in backbone.named_modules() if isinstance(m, nn.Linear)}
        reasons = {
            name: "the output head" if any(layer is head for head in heads) else self._left(name, layer)
            for name, layer in layers.items()
        }
        if all(reason is not None for reason in reasons.values()):
            raise ConfigError("float8: no layer can be converted\n" + "\n".join(_table(layers, reasons)[:4]))
        chosen = {id(layers[name]) for name, reason in reasons.items() if reason is None}
        convert_to_float8_training(
            backbone, module_filter_fn=lambda layer, name: id(layer) in chosen, config=self.config
        )
        if self.config.emulate:
            for layer in (m for m in backbone.modules() if isinstance(m, Float8Linear)):
                layer.register_forward_pre_hook(_cast_input)
        backbone.token_multiple = _MULTIPLE
        version = metadata.version("torchao")
        announce("\n".join([f"{self.precision}, torchao {version}", *_table(layers, reasons)]))

    def _left(self, name: str, layer: nn.Linear) -> str | None:
        """Why a layer is left as it is; None where it is converted."""
        if type(layer) is not nn.Linear:
            return f"a {type(layer).__name__}"
        if re.search(r"\.lora_[A-Za-z_]+\.", f"{name}."):
            return _ADAPTER
        if any(fnmatch(name, pattern) for pattern in self.skip):
            return "skip"
        sizes = (layer.in_features, layer.out_features)
        if any(size % _MULTIPLE for size in sizes):
            return f"{_MULTIPLE} does not divide its sizes"
        return f"smaller than min_features {self.min_features}" if min(sizes) < self.min_features else None

    @contextmanager
    def forward_context(self) -> Iterator[None]:
        """Autocast to bfloat16 on the device that the model is on."""
        model = self._latest()
        device = torch.get_default_device() if model is None else next(model.parameters()).device
        with torch.autocast(device.type, dtype=torch.bfloat16, cache_enabled=False):
            yield

    @contextmanager
    def val_step_context(self) -> Iterator[None]:
        """As `forward_context`, without gradients: torchao's tensors cannot be cast in inference mode."""
        with torch.inference_mode(False), torch.no_grad(), self.forward_context():
            yield

    test_step_context = predict_step_context = val_step_context

    def optimizer_step(self, optimizer: Any, model: Any, closure: Callable[[], Any], **kwargs: Any) -> Any:
        """Takes the step; then finds the scales of all weights in one reduction, before they travel."""
        result = super().optimizer_step(optimizer, model, closure, **kwargs)
        if self.config.enable_fsdp_float8_all_gather:
            from torchao.float8 import precompute_float8_dynamic_scale_for_fsdp

            precompute_float8_dynamic_scale_for_fsdp(model)
        return result


def _cast_input(layer: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
    """What autocast does for a linear layer: torchao's asks the autocast of CUDA alone."""
    device = inputs[0].device.type
    dtype = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else inputs[0].dtype
    return (inputs[0].to(dtype), *inputs[1:])


def _config(recipe: str, *, emulate: bool, float8_all_gather: bool) -> Any:
    if float8_all_gather and recipe != "tensorwise":
        raise ConfigError(f"float8_all_gather needs recipe tensorwise, got {recipe}: rows are divided among the ranks")
    # It says which of its compiled kernels do not load; float8 training uses none of them.
    logging.getLogger("torchao").setLevel(logging.ERROR)
    try:
        from torchao.float8 import Float8LinearConfig
    except ImportError as error:
        raise ConfigError(f"torchao cannot be imported: {error}\npip install 'lit-align[fp8]'") from error
    made = Float8LinearConfig.from_recipe_name(recipe)
    return dataclasses.replace(made, emulate=emulate, enable_fsdp_float8_all_gather=float8_all_gather)


def _require_device() -> None:
    if not torch.cuda.is_available():
        raise ConfigError("float8 needs a CUDA device\nSay emulate: true to try it on a CPU, which is slower.")
    capability = torch.cuda.get_device_capability()
    if capability < _OLDEST:
        raise ConfigError(
            f"float8 needs compute capability {_OLDEST[0]}.{_OLDEST[1]} (Ada, Hopper or newer), "
            f"{torch.cuda.get_device_name()} has {capability[0]}.{capability[1]}\n"
            "Use --trainer.precision bf16-mixed, or say emulate: true to try it, which is slower."
        )


def _table(layers: dict[str, nn.Linear], reasons: dict[str, str | None]) -> list[str]:
    """A line for all layers of one fate and size, named by the last part of their names."""
    groups: dict[tuple[str, str], list[str]] = {}
    for name, layer in layers.items():
        fate = "float8" if (reason := reasons[name]) is None else f"left: {reason}"
        size = "" if reason == _ADAPTER else f"{layer.in_features} -> {layer.out_features}"
        parts = [part for part in name.split(".") if part not in ("base_layer", "default") and not part.isdigit()]
        groups.setdefault((fate, size), []).append(parts[-1])
    rows = [(str(len(names)), ", ".join(dict.fromkeys(names)), size, fate) for (fate, size), names in groups.items()]
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    return [
        f"  {count:>{widths[0]}} {names:<{widths[1]}}  {size:<{widths[2]}}  {fate}" for count, names, size, fate in rows
    ]
