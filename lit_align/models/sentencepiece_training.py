"""Training of SentencePiece models that lose nothing and come out the same every time."""

import io
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Literal

import sentencepiece

from lit_align.errors import ConfigError
from lit_align.files import atomic_write

_LONGEST_LINE = 4096  # characters; the trainer skips longer ones without a word


def train_sentencepiece(
    texts: Iterable[str],
    *,
    vocab_size: int,
    output: str | Path,
    model_type: Literal["bpe", "unigram"] = "bpe",
    special_tokens: Sequence[str] = (),
    byte_fallback: bool = True,
) -> Path:
    """Trains a lossless SentencePiece model: same texts, same bytes.

    As in Nemotron-4 (arXiv:2402.16819): whitespace is kept, numbers are split into digits, unknown characters become
    bytes. No space is put before a text, so a prompt and a response joined are what they are apart.

    Args:
        texts: Documents; they are learned from line by line.
        vocab_size: Number of pieces, the four fixed ones, special tokens and bytes included.
        output: The `.model` file to write.
        model_type: Algorithm.
        special_tokens: Further control pieces, such as a chat template's markers; text that spells them is text.
        byte_fallback: Whether characters outside the vocabulary become bytes instead of the unknown piece.

    Raises:
        ConfigError: The texts do not support a vocabulary of this size.
    """
    model = io.BytesIO()
    try:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=_lines(texts),
            model_writer=model,
            model_type=model_type,
            vocab_size=vocab_size,
            control_symbols=list(special_tokens),
            user_defined_symbols=["\n"],  # the trainer sees lines, and would leave their ends to bytes or to unknown
            byte_fallback=byte_fallback,
            pad_id=3,
            character_coverage=0.9995 if byte_fallback else 1.0,
            normalization_rule_name="identity",
            add_dummy_prefix=False,
            remove_extra_whitespaces=False,
            allow_whitespace_only_pieces=True,
            split_digits=True,
            max_sentence_length=4 * _LONGEST_LINE,
            num_threads=1,  # sums of floats in the order of the threads would change from run to run
            minloglevel=2,
        )
    except (RuntimeError, OSError) as error:
        raise ConfigError(f"the tokenizer cannot be trained: {error}") from error
    with atomic_write(output, "wb") as file:
        file.write(model.getvalue())
    return Path(output)


def _lines(texts: Iterable[str]) -> Iterator[str]:
    for text in texts:
        for line in text.splitlines(keepends=True):
            for start in range(0, len(line), _LONGEST_LINE):
                yield line[start : start + _LONGEST_LINE]
