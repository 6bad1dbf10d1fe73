"""Plugins of lit-align, chosen by class path; the core never imports them."""

from lit_align_plugins.flash_attention import FlashAttention

__all__ = ["FlashAttention"]
