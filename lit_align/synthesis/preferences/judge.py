"""A language model as the judge of two responses: asked twice, with the responses exchanged."""

import random
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import Any, Literal, final

from lit_align.data.accounting import Accounting
from lit_align.data.rows import Message
from lit_align.errors import ConfigError
from lit_align.files import sha256_of_json
from lit_align.synthesis.items import rank
from lit_align.synthesis.preferences.candidates import Candidate, Candidates
from lit_align.synthesis.preferences.pairing import check_limits, not_comparable, preference_row
from lit_align.synthesis.template import Template, shipped

Verdict = Literal["first", "second", "tie"]
_ASKED = re.compile(r"verdict\s+\{code\}\s*:", re.IGNORECASE)
_SHOWN: dict[bool, dict[str, Verdict]] = {
    False: {"a": "first", "b": "second"},
    True: {"a": "second", "b": "first"},
}

CRITERIA = "how well each helps the person who asked: whether it is correct, complete, clear, and harmless"


@final
@dataclass(frozen=True, kw_only=True)
class Judge:
    """Asks which of two responses is better, in both orders, and believes only a verdict that survives the exchange.

    A response cannot give the verdict itself: it counts only with a code that is drawn for each question after the
    responses were written, and which they do not contain.

    Args:
        compare: Two responses of each prompt, drawn by the seed, or `all` pairs of them.
        criteria: What counts.
        finished_only: Whether responses that were cut off for length are left out.
        max_length_ratio: The longer response of a pair has at most this many times the characters of the shorter one.
        max_similarity: Pairs more alike than this are not judged; ROUGE-L's F1 of the words, 1 excludes none.
        seed: Of the draws and the codes.
        template: The question: `fence` begins the lines around the material (`request`, `a`, `b`), and verdicts are
            asked for as `Verdict {code}: A`. Of alternatives one is drawn for each pair.

    Raises:
        ConfigError: The template does not ask for verdicts with the code.
    """

    compare: Literal["two", "all"] = "two"
    criteria: str = CRITERIA
    finished_only: bool = True
    max_length_ratio: float | None = None
    max_similarity: float = 1.0
    seed: int = 0
    template: Template = shipped("judge")  # noqa: RUF009 - frozen

    def __post_init__(self) -> None:
        check_limits(length_ratio=self.max_length_ratio, similarity=self.max_similarity)
        if not all(_ASKED.search(text) for text in self.template.alternatives):
            raise ConfigError(
                f"template {self.template.name}: it must ask for a line `Verdict {{code}}: A`, B or tie\n"
                "A verdict without the code is not believed: a response could have given it."
            )

    def compose(self, prompts: Iterable[Candidates], *, counts: Accounting) -> Iterator[dict[str, Any]]:
        """Yields two prompts for each pair of responses, and counts prompts without a pair."""
        for prompt in prompts:
            counts.add()
            usable = [c for c in prompt.responses if c.is_finished or not self.finished_only]
            if len(usable) < 2:
                reason = "too_few_responses" if len(prompt.responses) < 2 else "no_finished_response"
                counts.drop(reason, place=prompt.place)
                continue
            pairs = self._pairs(usable, prompt.id)
            if isinstance(pairs, str):
                counts.drop(pairs, place=prompt.place)
                continue
            for first, second in pairs:
                yield from (self._question(prompt, first, second, swapped=swapped) for swapped in (False, True))

    def _pairs(self, usable: list[Candidate], name: str) -> list[tuple[Candidate, Candidate]] | str:
        """The pairs to judge, or the reason why there is none."""
        ranked = sorted(usable, key=lambda candidate: candidate.text)
        random.Random(sha256_of_json([self.seed, name])).shuffle(ranked)
        limits = {"length_ratio": self.max_length_ratio, "similarity": self.max_similarity}
        pairs, reasons = [], []
        for pair in combinations(ranked, 2):
            reason = not_comparable(*pair, **limits)
            if reason is not None:
                reasons.append(reason)
                continue
            pairs.append(pair)
            if self.compare == "two":
                break
        return pairs or reasons[0]

    def _question(self, prompt: Candidates, first: Candidate, second: Candidate, *, swapped: bool) -> dict[str, Any]:
        request, texts = _shown(prompt.prompt), (first.text, second.text)
        code = _code([self.seed, prompt.id, *texts, swapped], "\n".join((request, *texts)))
        a, b = reversed(texts) if swapped else texts
        slots = {"criteria": self.criteria, "fence": f"=== {code}", "code": code, "request": request, "a": a, "b": b}
        text = self.template.fill(slots, rank=rank(self.seed, prompt.id, *texts))
        sides = {"first": _side(first), "second": _side(second)}
        return {
            "prompt": [{"role": "user", "content": text}],
            "judged": {
                "id": prompt.id,
                "prompt": prompt.prompt,
                "lineage": prompt.lineage,
                **sides,
                "swapped": swapped,
                "code": code,
            },
            "template": self.template.id,
        }

    def parse(
        self, answers: Iterable[Mapping[str, Any]], *, counts: Accounting, questions: Iterable[Mapping[str, Any]] = ()
    ) -> "Judged":
        """Reads the judge's responses, as `generate` wrote them, into preferences; counts every pair.

        A pair without a clear verdict in both orders, with different ones, or with a tie is dropped.

        Args:
            answers: What the judge said.
            counts: Counts pairs.
            questions: What it was asked: pairs that it refused, as they are too long for it, are counted too.
        """
        pairs: dict[str, dict[bool, Mapping[str, Any]]] = {_pair_of(row): {} for row in questions}
        for row in answers:
            pairs.setdefault(_pair_of(row), {}).setdefault(row["judged"]["swapped"], row)
        bias = PositionBias()
        rows = []
        for name, both in pairs.items():
            counts.add()
            if not both:
                counts.drop("unanswered", place=f"pair {name[:12]}")
                continue
            verdicts: dict[bool, Verdict | None] = {swapped: verdict_of(row) for swapped, row in both.items()}
            bias.add(verdicts)
            outcome = _outcome(verdicts)
            if outcome in ("first", "second"):
                rows.append(_preference(both, outcome))
            else:
                counts.drop(outcome, place=f"pair {name[:12]}")
        return Judged(rows=rows, bias=bias)


@final
@dataclass(kw_only=True)
class PositionBias:
    """How often a judge preferred the response that it read first.

    Attributes:
        verdicts: Verdicts for one side, in pairs with such a verdict in both orders.
        for_first_place: Those of them for the response that was shown first; half of them without a bias.
        changed: Pairs whose verdict moved with the places: to the first one, or to the second one, both times.
    """

    verdicts: int = 0
    for_first_place: int = 0
    changed: int = 0

    def add(self, verdicts: Mapping[bool, Verdict | None]) -> None:
        """Takes the verdicts on one pair into account."""
        if any(verdicts.get(swapped) not in ("first", "second") for swapped in (False, True)):
            return
        self.verdicts += 2
        self.for_first_place += (verdicts[False] == "first") + (verdicts[True] == "second")
        self.changed += verdicts[False] != verdicts[True]

    @property
    def share(self) -> float:
        """The share of verdicts for the response that was shown first: 0.5 without a bias."""
        return self.for_first_place / self.verdicts if self.verdicts else 0.5


@final
@dataclass(frozen=True, kw_only=True)
class Judged:
    """Preferences, and what the judge's verdicts were like."""

    rows: list[dict[str, Any]]
    bias: PositionBias


def _pair_of(row: Mapping[str, Any]) -> str:
    judged = row["judged"]
    return sha256_of_json([judged["id"], judged["first"]["text"], judged["second"]["text"]])


def verdict_of(row: Mapping[str, Any]) -> Verdict | None:
    """Which of the pair the judge's response prefers; None without a verdict, or with different ones."""
    judged = row["judged"]
    # Nothing but an explanation may follow: "A tie" and "A or B" are not A.
    said = re.findall(
        rf"verdict\s+{judged['code']}\s*:\W*(a|b|tie)\b(?=[^\w\n]*$|[\])*_]*\s*[.;(])",
        row["response"],
        flags=re.IGNORECASE | re.MULTILINE,
    )
    values = {word.lower() for word in said}
    if len(values) != 1:
        return None
    return _SHOWN[judged["swapped"]].get(values.pop(), "tie")


def _outcome(verdicts: Mapping[bool, Verdict | None]) -> str:
    one, other = verdicts.get(False), verdicts.get(True)
    if one is None or other is None:
        return "unclear_verdict"
    return one if one == other else "inconsistent_verdict"


def _preference(both: Mapping[bool, Mapping[str, Any]], winner: str) -> dict[str, Any]:
    judged = both[False]["judged"]
    loser = "second" if winner == "first" else "first"
    prompt = Candidates(id=judged["id"], prompt=judged["prompt"], lineage=judged.get("lineage", {}), place="")
    row = preference_row(prompt, *(_candidate(judged[side]) for side in (winner, loser)))
    reasons = {name: both[swapped]["response"] for swapped, name in ((False, "as_drawn"), (True, "exchanged"))}
    asked = {name: both[False].get(name) for name in ("generator", "template")}
    return {**row, "judge": {**asked, **reasons}}


def _side(candidate: Candidate) -> dict[str, Any]:
    return {"text": candidate.text, "score": candidate.score, "generator": candidate.row.get("generator")}


def _candidate(side: Mapping[str, Any]) -> Candidate:
    return Candidate(text=side["text"], score=side["score"], row={"generator": side["generator"]}, place="")


def _shown(prompt: Any) -> str:
    """A conversation as the judge reads it; a lone user turn by itself."""
    if isinstance(prompt, str):
        return prompt
    turns = [Message(role=turn["role"], content=turn["content"]) for turn in prompt]
    if len(turns) == 1:
        return turns[0].content
    return "\n\n".join(f"{turn.role}: {turn.content}" for turn in turns)


def _code(parts: list[Any], material: str) -> str:
    """Eight characters that the material does not contain."""
    for number in range(1000):
        if (code := sha256_of_json([*parts, number])[:8]) not in material.lower():
            return code
    raise AssertionError("a text contains a thousand hashes of itself")
