"""LightningModules: one objective each."""
