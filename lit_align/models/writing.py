"""A model as a folder that transformers loads."""

import copy
from collections.abc import Sequence
from pathlib import Path

from torch import Tensor
from transformers import GenerationConfig, PreTrainedModel, PreTrainedTokenizerBase

from lit_align.models.loading import without_bars


def write_model(
    model: PreTrainedModel,
    state: dict[str, Tensor],
    folder: Path,
    tokenizer: PreTrainedTokenizerBase,
    terminator_ids: Sequence[int],
) -> None:
    """Writes weights, configuration, generation settings and tokenizer as transformers reads them.

    Args:
        model: Whose configuration is written.
        state: Its weights.
        folder: Where to.
        tokenizer: Its tokenizer.
        terminator_ids: Tokens that end a generation.
    """
    config = copy.deepcopy(model.config)
    config.use_cache = True
    shell = type(model).__new__(type(model))
    shell.__dict__.update(model.__dict__)  # save_pretrained reads the configuration off the model: give it a copy
    shell.config = config
    shell.generation_config = GenerationConfig()
    with without_bars():
        shell.save_pretrained(folder, state_dict=state)
    # Not by `save_pretrained`: it refuses settings that many published models have (a temperature without sampling).
    _generation_config(model, tokenizer, terminator_ids).to_json_file(folder / "generation_config.json")
    tokenizer.save_pretrained(folder)


def _generation_config(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, terminator_ids: Sequence[int]
) -> GenerationConfig:
    config = (
        GenerationConfig() if model.generation_config._from_model_config else copy.deepcopy(model.generation_config)
    )
    # A tuned model that keeps its base's end-of-text never stops: what was supervised as terminator ends generation.
    config.eos_token_id = list(terminator_ids)
    config.bos_token_id = tokenizer.bos_token_id
    config.use_cache = True
    config.pad_token_id = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else terminator_ids[0]
    return config
