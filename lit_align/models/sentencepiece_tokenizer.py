"""SentencePiece models as Hugging Face tokenizers, id for id."""

import random
import re
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import sentencepiece
from sentencepiece import sentencepiece_model_pb2 as model_pb2
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from lit_align.errors import ConfigError
from lit_align.models.tokenizer_probes import PROBES

_Proto: Any = vars(model_pb2)["ModelProto"]  # defined at import, unknown to type checkers
# Types of a piece in sentencepiece_model.proto.
_NORMAL, _UNKNOWN, _CONTROL, _USER_DEFINED = 1, 2, 3, 4
_UNIGRAM, _BPE = 1, 2
_SPACE = "▁"
# Noncharacters: between what must not be composed, and for the unknown piece while a text is put together.
_APART, _UNKNOWN_MARK = "\ufdd0", "\ufdd1"


def probes_of(processor: sentencepiece.SentencePieceProcessor) -> Iterator[str]:
    """Texts on which two tokenizers of the same vocabulary should agree: fixed ones, then the vocabulary's own."""
    yield from PROBES
    pieces = [i for i in range(processor.get_piece_size()) if not _is_special(processor, i)]
    surfaces = [processor.id_to_piece(i).replace(_SPACE, " ") for i in pieces]
    draw = random.Random(0)
    for length in range(1, 9):
        for _ in range(50):
            yield "".join(draw.choices(surfaces, k=length))


def _is_special(processor: sentencepiece.SentencePieceProcessor, piece: int) -> bool:
    return any(test(piece) for test in (processor.is_control, processor.is_unknown, processor.is_byte))


def from_sentencepiece(path: str | Path) -> PreTrainedTokenizerFast:
    """A Hugging Face tokenizer that gives the ids and texts of the SentencePiece model at `path`.

    What it saves loads in plain transformers. BOS comes first where the model has one; EOS is not added. Where the
    model has no padding piece, padding is the unknown piece: never EOS, whose label would be lost with the padding.

    Raises:
        ConfigError: Not a SentencePiece model, or one whose ids the conversion would change.
    """
    try:
        proto = _Proto.FromString(Path(path).read_bytes())
        processor = sentencepiece.SentencePieceProcessor(model_proto=proto.SerializeToString())
    except Exception as error:  # protobuf and the C++ library raise their own, undocumented types
        raise ConfigError(f"{path} is not a SentencePiece model: {error}") from error
    if proto.trainer_spec.model_type not in (_UNIGRAM, _BPE):
        raise ConfigError(f"{path}: only unigram and BPE models of SentencePiece can be converted")
    difference = None
    for normalizer in _normalizers(proto.normalizer_spec):
        tokenizer = _wrap(_backend(proto, normalizer), proto)
        difference = _difference(tokenizer, processor)
        if difference is None:
            return tokenizer
    text, ours, theirs = difference or ("", [], [])
    raise ConfigError(
        f"{path}: its ids cannot be reproduced by a Hugging Face tokenizer\n"
        f"text {text!r}: SentencePiece gives {theirs}, the conversion {ours}\n"
        "Give a folder with a tokenizer.json that its authors checked instead."
    )


def _difference(
    tokenizer: PreTrainedTokenizerFast, processor: sentencepiece.SentencePieceProcessor
) -> tuple[str, list[int], list[int]] | None:
    for text in probes_of(processor):
        theirs = processor.encode(text)
        ours = tokenizer.encode(text, add_special_tokens=False, split_special_tokens=True)
        if ours != theirs or tokenizer.decode(theirs) != processor.decode(theirs):
            return text, ours, theirs
    return None


def _wrap(backend: Tokenizer, proto: Any) -> PreTrainedTokenizerFast:
    spec, pieces = proto.trainer_spec, [piece.piece for piece in proto.pieces]
    named = {"unk_token": spec.unk_id, "bos_token": spec.bos_id, "eos_token": spec.eos_id}
    named["pad_token"] = spec.pad_id if spec.pad_id >= 0 else spec.unk_id
    tokens = {name: pieces[index] for name, index in named.items() if index >= 0}
    others = [piece.piece for piece in proto.pieces if piece.type == _CONTROL and piece.piece not in tokens.values()]
    return PreTrainedTokenizerFast(
        tokenizer_object=backend,
        **tokens,
        extra_special_tokens=others,
        add_bos_token="bos_token" in tokens,
        clean_up_tokenization_spaces=False,
    )


def _backend(proto: Any, normalizer: list[normalizers.Normalizer]) -> Tokenizer:
    spec, rules = proto.trainer_spec, proto.normalizer_spec
    tokenizer = Tokenizer(_unigram(proto) if spec.model_type == _UNIGRAM else _bpe(proto))
    tokenizer.normalizer = normalizers.Sequence([*normalizer, *_spaces(rules)])
    if spec.model_type == _UNIGRAM:
        tokenizer.pre_tokenizer = _literal_pieces(proto)
    tokenizer.decoder = _decoder(proto)
    special = [piece.piece for piece in proto.pieces if piece.type in (_UNKNOWN, _CONTROL)]
    tokenizer.add_special_tokens([AddedToken(piece, normalized=False, special=True) for piece in special])
    atoms = [piece.piece for piece in proto.pieces if piece.type == _USER_DEFINED]
    tokenizer.add_tokens([AddedToken(piece, normalized=False) for piece in atoms])
    return tokenizer


def _decoder(proto: Any) -> decoders.Decoder:
    spec, rules = proto.trainer_spec, proto.normalizer_spec
    stripped = 10**6 if rules.remove_extra_whitespaces else int(rules.add_dummy_prefix)
    joined = [decoders.Replace(_SPACE, " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", stripped, 0)]
    if spec.byte_fallback:  # then nothing is unknown
        return decoders.Sequence(joined)
    unknown = proto.pieces[spec.unk_id].piece
    before, after = (unknown, _UNKNOWN_MARK), (_UNKNOWN_MARK, spec.unk_surface)
    return decoders.Sequence([decoders.Replace(*before), *joined, decoders.Replace(*after)])


def _bpe(proto: Any) -> models.BPE:
    """Merges in the order of the score of what they make; SentencePiece itself knows scores only."""
    vocabulary = {piece.piece: index for index, piece in enumerate(proto.pieces)}
    scores = {piece.piece: piece.score for piece in proto.pieces if piece.type == _NORMAL}
    merges = [
        (-score, vocabulary[left], vocabulary[right], (left, right))
        for piece, score in scores.items()
        for left, right in ((piece[:cut], piece[cut:]) for cut in range(1, len(piece)))
        if left in scores and right in scores
    ]
    return models.BPE(
        vocabulary,
        [merge[-1] for merge in sorted(merges)],
        unk_token=proto.pieces[proto.trainer_spec.unk_id].piece,
        fuse_unk=True,
        byte_fallback=proto.trainer_spec.byte_fallback,
    )


def _unigram(proto: Any) -> models.Unigram:
    spec = proto.trainer_spec
    vocabulary = [(piece.piece, piece.score) for piece in proto.pieces]
    return models.Unigram(vocabulary, unk_id=spec.unk_id, byte_fallback=spec.byte_fallback)


def _literal_pieces(proto: Any) -> pre_tokenizers.PreTokenizer:
    """Cuts texts that spell a control or byte piece, which the lattice of `Unigram` would take for the piece."""
    spelled = [piece.piece for piece in proto.pieces if piece.type not in (_NORMAL, _USER_DEFINED)]
    cuts = "|".join(f"{re.escape(piece[0])}(?={re.escape(piece[1:])})" for piece in spelled if len(piece) > 1)
    return pre_tokenizers.Split(Regex(cuts or r"\z"), "merged_with_previous")


def _normalizers(rules: Any) -> Iterator[list[normalizers.Normalizer]]:
    """Candidates for the character map of a model, the likelier first.

    `Precompiled` looks at a grapheme's first match only, so it loses the second of two accents. For the maps that are
    NFKC in essence, normalising first leaves it nothing to lose.
    """
    if not rules.precompiled_charsmap:
        yield []
        return
    precompiled = normalizers.Precompiled(rules.precompiled_charsmap)
    if "nfkc" in rules.name:
        apart = normalizers.Replace(Regex(_uncomposed()), _APART)
        yield [apart, normalizers.NFKC(), precompiled, normalizers.Replace(_APART, "")]
    yield [precompiled]


def _uncomposed() -> str:
    """A pattern of the places before an accent that SentencePiece leaves alone, where NFKC would sort or compose.

    Its map composes what is written in full, one letter and its accents in canonical order, and nothing else.
    """
    unicode = unicodedata.ucd_3_2_0  # compositions do not change after it, and this one not with the Python version
    letters: dict[str, list[str]] = {}
    for character in map(chr, range(0x10000)):
        written = unicode.normalize("NFD", character)
        if (
            len(written) > 1
            and unicode.category(written[-1]) == "Mn"
            and unicode.normalize("NFC", written) == character
        ):
            letters.setdefault(written[-1], []).append(written[:-1])
    composed = "|".join(f"(?<={'|'.join(before)})(?={accent})" for accent, before in letters.items())
    return rf"(?=\p{{Mn}})(?!{composed})"


def _spaces(rules: Any) -> list[normalizers.Normalizer]:
    steps: list[normalizers.Normalizer] = []
    if rules.remove_extra_whitespaces:
        steps += [normalizers.Replace(Regex(r"\A +| +\z"), ""), normalizers.Replace(Regex(" {2,}"), " ")]
    if rules.add_dummy_prefix:
        steps.append(normalizers.Prepend(" "))
    steps.append(normalizers.Replace(" ", _SPACE))
    if rules.remove_extra_whitespaces:  # SentencePiece strips the end once more, after the spaces became pieces
        steps.append(normalizers.Replace(Regex(rf"{_SPACE}+\z"), ""))
    return steps
