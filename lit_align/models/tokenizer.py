"""Tokenizers: loading, training, built-in chat templates, and what tells two of them apart."""

import json
from collections.abc import Iterable
from importlib import resources
from pathlib import Path
from typing import Any, Literal

from transformers import AutoTokenizer, PreTrainedTokenizerBase
from transformers.models.auto.tokenization_auto import get_tokenizer_config

from lit_align.errors import ConfigError
from lit_align.files import sha256_of_json
from lit_align.models.sentencepiece_tokenizer import from_sentencepiece
from lit_align.models.sentencepiece_training import train_sentencepiece
from lit_align.models.tokenizer_probes import PROBES

__all__ = [
    "chat_template",
    "load_tokenizer",
    "tokenizer_difference",
    "tokenizer_fingerprint",
    "train_sentencepiece",
    "train_tokenizer",
]

_TEMPLATES = resources.files("lit_align.models") / "chat_templates"
_MARKERS = {"chatml": ("<|im_start|>", "<|im_end|>")}


def load_tokenizer(path: str | Path) -> PreTrainedTokenizerBase:
    """Loads the tokenizer of a Hugging Face folder or hub id, or of a raw SentencePiece `.model` file.

    A folder with one `.model` file and no tokenizer of transformers is read as that file. Code that comes with a
    tokenizer is never run.

    Raises:
        ConfigError: There is no tokenizer, it needs its own code, or it would not give the ids of its files.
    """
    folder = Path(path)
    if folder.is_file():
        return from_sentencepiece(folder)
    if folder.is_dir() and (models := _raw_models(folder)):
        return from_sentencepiece(models)
    try:
        declared = get_tokenizer_config(str(path))
        _refuse_code(declared, path)
        tokenizer = AutoTokenizer.from_pretrained(str(path), trust_remote_code=False)
    except (OSError, ValueError) as error:
        raise ConfigError(f"no tokenizer can be loaded from {path}: {_first_line(error)}") from error
    generic = declared.get("tokenizer_class") in ("TokenizersBackend", "PreTrainedTokenizerFast")
    if generic and type(tokenizer).__name__ != "TokenizersBackend":
        # transformers does so for some model types (`qwen2`), and the ids are then not those of tokenizer.json.
        raise ConfigError(
            f"{path}: transformers replaces this tokenizer by a {type(tokenizer).__name__}, because of `model_type` in "
            "config.json\nTrain this architecture with its own tokenizer, or another architecture with this one."
        )
    return tokenizer


def _raw_models(folder: Path) -> Path | None:
    if any((folder / name).exists() for name in ("tokenizer.json", "tokenizer_config.json", "vocab.json")):
        return None
    models = sorted(folder.glob("*.model"))
    return models[0] if len(models) == 1 else None


def _refuse_code(declared: dict[str, Any], path: str | Path) -> None:
    code = declared.get("auto_map") or {}
    if isinstance(code, list | tuple) or "AutoTokenizer" in code:
        raise ConfigError(
            f"{path}: tokenizer_config.json asks to run Python code of its own (`auto_map`), which is refused: "
            "trust_remote_code is always off\n"
            "Save the tokenizer with one of transformers' classes, or remove `auto_map` if it names one."
        )


def _first_line(error: Exception) -> str:
    return str(error).strip().split("\n")[0]


def chat_template(name: str) -> str:
    """The source of a built-in chat template: `chatml`, `plain` or `hh`.

    Raises:
        ConfigError: There is none of this name.
    """
    sources = {file.name.removesuffix(".jinja"): file for file in _TEMPLATES.iterdir() if file.name.endswith(".jinja")}
    if name not in sources:
        raise ConfigError(f"no chat template {name!r}; built in are {', '.join(sorted(sources))}")
    return sources[name].read_text(encoding="utf-8")


def tokenizer_fingerprint(tokenizer: PreTrainedTokenizerBase) -> str:
    """The sha256 of everything that decides which ids a text or a conversation gets; saving does not change it."""
    backend: Any = tokenizer.backend_tokenizer if tokenizer.is_fast else None
    if backend is not None:
        rules = json.loads(backend.to_str())
        rules = {key: value for key, value in rules.items() if key not in ("truncation", "padding")}  # of the last call
    else:
        rules = {"vocabulary": tokenizer.get_vocab(), "probes": [tokenizer.encode(text) for text in PROBES]}
    named = {name: str(token) for name, token in tokenizer.special_tokens_map.items()}
    return sha256_of_json([rules, named, tokenizer.chat_template])


def tokenizer_difference(one: PreTrainedTokenizerBase, other: PreTrainedTokenizerBase) -> str | None:
    """The first probe text whose ids differ, with both, as a sentence; None where there is none."""
    if one.get_vocab() != other.get_vocab():
        changed = sorted(set(one.get_vocab().items()) ^ set(other.get_vocab().items()))
        return f"the vocabularies differ, first at {changed[0][0]!r}"
    for text in PROBES:
        ours, theirs = one.encode(text), other.encode(text)
        if ours != theirs:
            return f"{text!r} is {ours} to one and {theirs} to the other"
    return None


def train_tokenizer(
    texts: Iterable[str],
    *,
    vocab_size: int,
    output: str | Path,
    model_type: Literal["bpe", "unigram"] = "bpe",
    template: str = "chatml",
) -> Path:
    """Trains a SentencePiece tokenizer and writes it as a Hugging Face folder with a chat template.

    The folder holds `tokenizer.model`, as trained, and the files that plain transformers loads.

    Args:
        texts: Documents to learn from.
        vocab_size: Number of pieces in all.
        output: Folder to write.
        model_type: Algorithm of SentencePiece.
        template: Built-in chat template; its markers become pieces.

    Raises:
        ConfigError: Unknown template, or a vocabulary size that the texts do not support.
    """
    folder, source = Path(output), chat_template(template)
    model = train_sentencepiece(
        texts,
        vocab_size=vocab_size,
        output=folder / "tokenizer.model",
        model_type=model_type,
        special_tokens=_MARKERS.get(template, ()),
    )
    tokenizer = from_sentencepiece(model)
    tokenizer.chat_template = "{{- bos_token }}" + source
    tokenizer.save_pretrained(folder)
    return folder
