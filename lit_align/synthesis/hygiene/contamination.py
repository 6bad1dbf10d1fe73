"""Contamination: training rows that hold an evaluation prompt, whole or in runs of words."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any, final

from lit_align.data.records import Demonstration, Dropped, PromptOnly, Row, parse_row
from lit_align.data.sources import read_raw
from lit_align.data.splitting import prompt_turns, response_texts
from lit_align.errors import ConfigError, DataError
from lit_align.synthesis.hygiene.texts import ngrams, words

_MOST_SHOWN = 10


@dataclass(frozen=True, kw_only=True)
class Overlap:
    """How long a shared run of words must be to count.

    Args:
        ngram: Words in a row that an evaluation text and a training row share.
        short_ngram: The same, for evaluation texts of fewer than `short_below` words. Texts shorter still are found
            only where they are a whole turn of a training row.
        short_below: See there.
    """

    ngram: int = 13
    short_ngram: int = 8
    short_below: int = 20

    def __post_init__(self) -> None:
        """Refuses what cannot be meant."""
        if not 1 <= self.short_ngram <= self.ngram:
            raise ConfigError(f"needed: 1 <= short_ngram <= ngram, got {self.short_ngram} and {self.ngram}")


@dataclass(frozen=True, kw_only=True)
class Hit:
    """Where a training row meets an evaluation set; `ngram` is None where a whole prompt or turn does."""

    evaluation: str
    place: str
    ngram: str | None


@final
class EvaluationSet:
    """The prompts of an evaluation, in memory: every run of their words, and whole.

    Args:
        name: What people call it.
        overlap: How long a shared run must be.
    """

    def __init__(self, name: str, *, overlap: Overlap) -> None:
        self.name = name
        self.size = 0
        self._overlap = overlap
        self._whole: dict[str, str] = {}
        self._runs: dict[int, dict[str, str]] = {overlap.ngram: {}, overlap.short_ngram: {}}

    def add(self, turns: Sequence[str], *, place: str) -> None:
        """Takes one more prompt into account, given by the texts of its turns."""
        self.size += 1
        taken = [words(turn) for turn in turns]
        # A later turn ("Say it in French.") stands in many dialogues; alone it proves nothing.
        for tokens in (taken[0], list(chain.from_iterable(taken))):
            self._whole.setdefault(" ".join(tokens), place)
        for tokens in taken:
            n = self._overlap.short_ngram if len(tokens) < self._overlap.short_below else self._overlap.ngram
            for run in ngrams(tokens, n):
                self._runs[n].setdefault(run, place)

    def find(self, turns: Sequence[list[str]], rest: Sequence[list[str]]) -> Hit | None:
        """Where a row meets this set, if anywhere: a whole prompt first, then the first run of words.

        Args:
            turns: The words of the turns of its prompt.
            rest: The words of its responses.
        """
        for tokens in (*turns, list(chain.from_iterable(turns))):
            place = self._whole.get(" ".join(tokens))
            if place is not None:
                return Hit(evaluation=self.name, place=place, ngram=None)
        for n, runs in self._runs.items():
            for tokens in (*turns, *rest):
                for run in ngrams(tokens, n) if runs else ():
                    if run in runs:
                        return Hit(evaluation=self.name, place=runs[run], ngram=run)
        return None


def read_evaluation(source: str | Path, *, split: str = "test", overlap: Overlap | None = None) -> EvaluationSet:
    """The prompts of an evaluation's file, folder or hub id: rows with a prompt, or with `turns` (MT-Bench).

    Raises:
        ConfigError: The source does not exist.
        DataError: A row has no prompt, or there is no row.
    """
    evaluation = EvaluationSet(str(source), overlap=overlap or Overlap())
    for place, raw in read_raw(source, split=split):
        turns = [turn for turn in evaluation_turns(raw, place) if words(turn)]
        if turns:
            evaluation.add(turns, place=place)
    if not evaluation.size:
        raise DataError(f"{source}: no evaluation prompt in it")
    return evaluation


def evaluation_turns(raw: Mapping[str, Any], place: str) -> list[str]:
    """The texts of an evaluation prompt's turns.

    Raises:
        DataError: The row has no prompt.
    """
    turns = raw.get("turns")
    if isinstance(turns, list) and turns and all(isinstance(turn, str) for turn in turns):
        return turns
    for name in ("text", "problem"):  # MBPP; MATH
        if isinstance(raw.get(name), str) and "prompt" not in raw and "messages" not in raw:
            return [raw[name]]
    try:
        row = parse_row("prompt", raw, place)
    except Dropped:  # an empty prompt
        return []
    assert isinstance(row, PromptOnly)
    return [turn.content for turn in row.prompt if turn.role == "user"] or [turn.content for turn in row.prompt]


def hits(row: Row, sets: Iterable[EvaluationSet]) -> list[Hit]:
    """Where a row meets each of the sets."""
    document = row.text if isinstance(row, Demonstration) else None
    turns = [words(turn.content) for turn in prompt_turns(row)]
    rest = [words(text) for text in ((document,) if document is not None else response_texts(row))]
    return [hit for evaluation in sets if (hit := evaluation.find(turns, rest)) is not None]


@dataclass(kw_only=True)
class _Tally:
    rows: int = 0
    whole: int = 0
    runs: Counter[str] = field(default_factory=Counter)
    places: dict[str, tuple[str, str]] = field(default_factory=dict)


@final
class Contamination:
    """What was found, by evaluation set: rows, and the runs of words they share with it."""

    def __init__(self, sets: Sequence[EvaluationSet]) -> None:
        self._sizes = {evaluation.name: evaluation.size for evaluation in sets}
        self._tallies = {name: _Tally() for name in self._sizes}

    def add(self, hit: Hit, *, place: str) -> None:
        """Counts a row that meets a set."""
        tally = self._tallies[hit.evaluation]
        tally.rows += 1
        tally.whole += hit.ngram is None
        if hit.ngram is not None:
            tally.runs[hit.ngram] += 1
        tally.places.setdefault(hit.ngram or "", (place, hit.place))

    def to_dict(self) -> dict[str, Any]:
        """By set: its prompts, the rows that meet it, those that hold a whole prompt, and the commonest runs."""
        return {name: self._one(tally, self._sizes[name]) for name, tally in self._tallies.items()}

    def _one(self, tally: _Tally, size: int) -> dict[str, Any]:
        return {
            "prompts": size,
            "rows": tally.rows,
            "whole_prompts": tally.whole,
            **({"first_whole_prompt": _places(tally.places[""])} if tally.whole else {}),
            "ngrams": [
                {"ngram": run, "rows": number, **_places(tally.places[run])}
                for run, number in tally.runs.most_common(_MOST_SHOWN)
            ],
        }


def _places(pair: tuple[str, str]) -> dict[str, str]:
    return {"row": pair[0], "evaluation": pair[1]}
