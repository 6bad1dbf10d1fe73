"""Aligns language models the way the Nemotron-4 340B report did; public names are imported when they are used."""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lit_align.data.kinds import PreferenceData, RatingData, SFTData
    from lit_align.models.attention import Attention
    from lit_align.models.backbone import Backbone
    from lit_align.models.huggingface import HFBackbone
    from lit_align.models.lora import LoRA
    from lit_align.modules.callbacks import SaveModel, StopOnSignal
    from lit_align.modules.export import save_model
    from lit_align.modules.preference import DPO, RPO
    from lit_align.modules.reward import RewardRegression
    from lit_align.modules.schedule import Schedule
    from lit_align.modules.sft import SFT

_PLACES = {
    "Attention": "models.attention",
    "Backbone": "models.backbone",
    "DPO": "modules.preference",
    "HFBackbone": "models.huggingface",
    "LoRA": "models.lora",
    "PreferenceData": "data.kinds",
    "RPO": "modules.preference",
    "RatingData": "data.kinds",
    "RewardRegression": "modules.reward",
    "SFT": "modules.sft",
    "SFTData": "data.kinds",
    "SaveModel": "modules.callbacks",
    "Schedule": "modules.schedule",
    "StopOnSignal": "modules.callbacks",
    "save_model": "modules.export",
}

__all__ = [
    "DPO",
    "RPO",
    "SFT",
    "Attention",
    "Backbone",
    "HFBackbone",
    "LoRA",
    "PreferenceData",
    "RatingData",
    "RewardRegression",
    "SFTData",
    "SaveModel",
    "Schedule",
    "StopOnSignal",
    "save_model",
]


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_PLACES[name]}"), name)
