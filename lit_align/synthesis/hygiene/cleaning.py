"""Cleaning: one pass decides about every row, a second one writes those that stay."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, final

from lit_align.data import values
from lit_align.data.accounting import Accounting
from lit_align.data.guessing import guess_kind
from lit_align.data.licences import Licences
from lit_align.data.records import Dropped, Kind, Row, parse_row
from lit_align.data.sources import Rules
from lit_align.errors import ConfigError, DataError
from lit_align.synthesis.hygiene.clusters import surplus
from lit_align.synthesis.hygiene.contamination import Contamination, EvaluationSet, Hit, hits
from lit_align.synthesis.hygiene.embedding import Embedder
from lit_align.synthesis.hygiene.entries import EARLIER, Entry, groups_by_key, make_entry, rank
from lit_align.synthesis.hygiene.near import near_duplicates
from lit_align.synthesis.hygiene.responses import learned_responses, rewritten
from lit_align.synthesis.hygiene.rules import make_rules
from lit_align.synthesis.hygiene.sampling import diverse_sample
from lit_align.synthesis.hygiene.semantic import semantic_duplicates
from lit_align.synthesis.hygiene.settings import Cleaning
from lit_align.synthesis.hygiene.tag_names import frequent
from lit_align.synthesis.hygiene.texts import prompt_contents

Placed = tuple[str, dict[str, Any] | DataError]


@final
class Cleaner:
    """Decides which rows stay. Rows are read twice: by `take`, which decides, and by `kept`, which passes them on.

    Of each row that is still in play its normalised text is remembered, and nothing else that is large.

    Args:
        cleaning: What is done.
        kind: What the rows are; told by the first one unless given.
        evaluations: What must not be in the rows.
        embedder: Finds semantic duplicates.
        bad: What happens to malformed rows.
    """

    def __init__(
        self,
        cleaning: Cleaning,
        *,
        kind: Kind | None = None,
        evaluations: Sequence[EvaluationSet] = (),
        embedder: Embedder | None = None,
        bad: Rules | None = None,
    ) -> None:
        if cleaning.semantic is not None and embedder is None:
            raise ConfigError("semantic duplicates need a model that embeds texts: give semantic_model too")
        self.kind: Kind | None = kind
        self.counts = Accounting()
        self.contamination = Contamination(evaluations)
        self.licences = Licences()
        self.rewritten: Counter[str] = Counter()
        self.clusters: dict[str, dict[str, int]] = {}
        self.cleaning = cleaning
        self._rules = make_rules(cleaning.rules, own_names=cleaning.own_names)
        self._evaluations = evaluations
        self._embedder = embedder
        self._bad = bad or Rules()
        self._entries: list[Entry] = []
        self._reasons: dict[int, tuple[str, str]] = {}

    def take_earlier(self, rows: Iterable[Placed]) -> None:
        """Takes rows of earlier files into account: what repeats them is dropped, and they are not written.

        Raises:
            DataError: A row is malformed.
        """
        for place, value in rows:
            if isinstance(value, DataError):
                raise value
            try:
                row = parse_row(self._kind_of(value, place), value, place)
            except Dropped:  # what training cannot use was not trained on
                continue
            self._entries.append(make_entry(EARLIER, value, row, cleaning=self.cleaning))

    def take(self, rows: Iterable[Placed]) -> None:
        """Reads all rows and decides about each.

        Raises:
            DataError: A row is malformed, or holds an evaluation prompt, or the licences may not be published; where
                these are errors.
            ConfigError: There are no rewards, or no tags, to choose by.
        """
        for position, (place, value) in enumerate(rows):
            self.counts.add()
            try:
                raw, row = self._prepared(place, value, count=False)
            except Dropped as dropped:
                self._drop(position, place, dropped.reason)
            except DataError as error:
                self._bad.take_bad(error, place=place, counts=self.counts)
                self._reasons[position] = ("malformed", str(error).partition("\n")[0])
            else:
                if found := hits(row, self._evaluations):
                    self._take_contaminated(position, place, found)
                else:
                    self._entries.append(make_entry(position, raw, row, cleaning=self.cleaning))
        self._drop_repeated()
        self._draw()
        for entry in self._own():
            self.licences.add(entry.licences, place=entry.place)
        if self.cleaning.publish:
            self.licences.require_publishable(accepted=self.cleaning.accepted_licences)

    def kept(self, rows: Iterable[Placed]) -> Iterator[dict[str, Any]]:
        """The rows that stay, cleaned by the rules, of the same rows again.

        Raises:
            DataError: There are more rows than before, or fewer.
        """
        for position, place, value in self._again(rows):
            if position not in self._reasons:
                yield self._prepared(place, value, count=True)[0]

    def dropped(self, rows: Iterable[Placed]) -> Iterator[dict[str, Any]]:
        """The other rows, each as `row`, with its `place`, the `reason` and a `detail`: what it repeats or holds."""
        for position, place, value in self._again(rows):
            if position in self._reasons:
                reason, detail = self._reasons[position]
                written = None if isinstance(value, DataError) else _writable_or_none(value, place)
                yield {"place": place, "reason": reason, "detail": detail, "row": written}

    def _again(self, rows: Iterable[Placed]) -> Iterator[tuple[int, str, dict[str, Any] | DataError]]:
        number = 0
        for number, (place, value) in enumerate(rows, 1):
            if number <= self.counts.read:
                yield number - 1, place, value
        if number != self.counts.read:
            raise DataError(f"the rows changed while they were cleaned: {self.counts.read} were read, then {number}")

    def _prepared(self, place: str, value: dict[str, Any] | DataError, *, count: bool) -> tuple[dict[str, Any], Row]:
        """A row after the rules, raw and parsed."""
        if isinstance(value, DataError):
            raise value
        kind = self._kind_of(value, place)
        raw = _writable(value, place)
        row = parse_row(kind, raw, place)
        prompt = prompt_contents(row) if self._rules else ""
        before = raw
        for rule in self._rules:
            if any(rule.drops(response, prompt=prompt) for response in learned_responses(row)):
                raise Dropped(rule.name)
            new = raw if kind == "prompt" else rewritten(raw, rule.rewrite, place=place)
            if count and new != raw:
                self.rewritten[rule.name] += 1
            raw = new
        return raw, row if raw == before else parse_row(kind, raw, place)

    def _kind_of(self, raw: Mapping[str, Any], place: str) -> Kind:
        kind = self.kind or guess_kind(raw, place=place)
        self.kind = kind
        return kind

    def _take_contaminated(self, position: int, place: str, found: Sequence[Hit]) -> None:
        for hit in found:
            self.contamination.add(hit, place=place)
        whole = next((hit for hit in found if hit.ngram is None), None)
        if whole is not None and self.cleaning.evaluation_rows == "error":
            raise DataError(
                f"{place}: the evaluation prompt at {whole.place} is in the data\n"
                "Reserve evaluation prompts before anything is generated, or drop such rows (evaluation_rows: drop)."
            )
        hit = whole or found[0]
        self._drop(position, place, "contaminated", detail=f"{hit.ngram or 'the prompt'!r}, at {hit.place}")

    def _drop_repeated(self) -> None:
        cleaning, embedder = self.cleaning, self._embedder
        own = list(self._own())
        if cleaning.keep == "reward" and own and all(entry.reward is None for entry in own):
            raise ConfigError(
                f"no row has a number in {cleaning.reward!r}\nName the column of the reward, or keep the first row."
            )
        if cleaning.exact:
            self._drop_groups("exact_duplicate", groups_by_key(self._entries))
        if cleaning.near is not None:
            groups = near_duplicates(
                self._texts(), threshold=cleaning.near, seed=cleaning.seed, groups=self._documents()
            )
            self._drop_groups("near_duplicate", groups)
        if cleaning.semantic is not None and embedder is not None:
            texts, documents = self._texts(), self._documents()
            groups = semantic_duplicates(texts, embedder, threshold=cleaning.semantic, groups=documents)
            self._drop_groups("semantic_duplicate", groups)

    def _drop_groups(self, reason: str, groups: Sequence[Sequence[int]]) -> None:
        entries = self._entries
        num_earlier = sum(entry.position == EARLIER for entry in entries)  # they come first
        rewards = {number: entry.reward for number, entry in enumerate(entries) if entry.reward is not None}
        repeats = surplus(groups, num_earlier=num_earlier, rewards=rewards)
        for number, stays in sorted(repeats.items()):
            entry = entries[number]
            self._drop(entry.position, entry.place, reason, detail=f"repeats {entries[stays].place}")
        own = [group for group in groups if group[-1] >= num_earlier]
        self.clusters[reason] = {"clusters": len(own), "largest": max(map(len, own), default=0)}
        self._entries = [entry for number, entry in enumerate(entries) if number not in repeats]

    def _draw(self) -> None:
        own = list(self._own())
        if self.cleaning.sample is None or not own:
            return
        if not any(entry.tags for entry in own):
            raise ConfigError(
                "a sample is drawn by tags, and no row has any\nAdd a column `tags`, or set tags_by to rules."
            )
        known = frequent((entry.tags for entry in own), least=self.cleaning.min_tag_rows)
        tags = [[tag for tag in entry.tags if tag in known] for entry in own]
        ranks = [rank(entry, seed=self.cleaning.seed) for entry in own]
        chosen = set(diverse_sample(tags, self.cleaning.sample, ranks=ranks))
        for number, entry in enumerate(own):
            if number not in chosen:
                self._drop(entry.position, entry.place, "not_sampled")
        self._entries = [entry for number, entry in enumerate(own) if number in chosen]

    def _own(self) -> Iterator[Entry]:
        return (entry for entry in self._entries if entry.position != EARLIER)

    def _texts(self) -> list[str]:
        return [entry.text for entry in self._entries]

    def _documents(self) -> list[str]:
        return [entry.document for entry in self._entries]

    def _drop(self, position: int, place: str, reason: str, *, detail: str = "") -> None:
        self.counts.drop(reason, place=place)
        self._reasons[position] = (reason, detail)


def _writable(raw: Mapping[str, Any], place: str) -> dict[str, Any]:
    return {key: values.carried(value, key=repr(key)[1:-1], place=place) for key, value in raw.items()}


def _writable_or_none(raw: Mapping[str, Any], place: str) -> dict[str, Any] | None:
    try:
        return _writable(raw, place)
    except (Dropped, DataError):  # that may be what it was dropped for
        return None
