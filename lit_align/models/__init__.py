"""Backbones, attention, packing and tokenizers."""
