"""Aligns language models the way the Nemotron-4 340B report did; public names are imported when they are used."""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lit_align.data.kinds import PreferenceData, RatingData, ScoredData, SFTData
    from lit_align.models.attention import Attention
    from lit_align.models.backbone import Backbone
    from lit_align.models.huggingface import HFBackbone
    from lit_align.models.lora import LoRA
    from lit_align.models.quantization import FourBit
    from lit_align.modules.bradley_terry import (
        BradleyTerry,
        BradleyTerryRegression,
        MarginBradleyTerry,
        RankedBradleyTerry,
        ScaledBradleyTerry,
    )
    from lit_align.modules.callbacks import SaveModel, StopOnSignal
    from lit_align.modules.export import save_model
    from lit_align.modules.memory_estimate import MemoryEstimate
    from lit_align.modules.neftune import NEFTune
    from lit_align.modules.preference import DPO, IPO, ConservativeDPO, MarginDPO, RobustDPO, ScaledDPO
    from lit_align.modules.reward import RewardRegression
    from lit_align.modules.rpo import RPO, KWayRPO
    from lit_align.modules.schedule import Schedule
    from lit_align.modules.sft import SFT
    from lit_align.modules.sharding import FSDP2
    from lit_align.modules.soft_label import SoftLabelBradleyTerry

_PLACES = {
    "Attention": "models.attention",
    "Backbone": "models.backbone",
    "BradleyTerry": "modules.bradley_terry",
    "BradleyTerryRegression": "modules.bradley_terry",
    "ConservativeDPO": "modules.preference",
    "DPO": "modules.preference",
    "FSDP2": "modules.sharding",
    "FourBit": "models.quantization",
    "HFBackbone": "models.huggingface",
    "IPO": "modules.preference",
    "KWayRPO": "modules.rpo",
    "LoRA": "models.lora",
    "MarginBradleyTerry": "modules.bradley_terry",
    "MarginDPO": "modules.preference",
    "MemoryEstimate": "modules.memory_estimate",
    "NEFTune": "modules.neftune",
    "PreferenceData": "data.kinds",
    "RPO": "modules.rpo",
    "RankedBradleyTerry": "modules.bradley_terry",
    "RatingData": "data.kinds",
    "RewardRegression": "modules.reward",
    "RobustDPO": "modules.preference",
    "SFT": "modules.sft",
    "SFTData": "data.kinds",
    "SaveModel": "modules.callbacks",
    "ScaledBradleyTerry": "modules.bradley_terry",
    "ScaledDPO": "modules.preference",
    "Schedule": "modules.schedule",
    "ScoredData": "data.kinds",
    "SoftLabelBradleyTerry": "modules.soft_label",
    "StopOnSignal": "modules.callbacks",
    "save_model": "modules.export",
}

__all__ = [
    "DPO",
    "FSDP2",
    "IPO",
    "RPO",
    "SFT",
    "Attention",
    "Backbone",
    "BradleyTerry",
    "BradleyTerryRegression",
    "ConservativeDPO",
    "FourBit",
    "HFBackbone",
    "KWayRPO",
    "LoRA",
    "MarginBradleyTerry",
    "MarginDPO",
    "MemoryEstimate",
    "NEFTune",
    "PreferenceData",
    "RankedBradleyTerry",
    "RatingData",
    "RewardRegression",
    "RobustDPO",
    "SFTData",
    "SaveModel",
    "ScaledBradleyTerry",
    "ScaledDPO",
    "Schedule",
    "ScoredData",
    "SoftLabelBradleyTerry",
    "StopOnSignal",
    "save_model",
]


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_PLACES[name]}"), name)
