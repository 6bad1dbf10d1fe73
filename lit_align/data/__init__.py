"""Data: typed rows and where they come from, chat templates, packed batches."""
