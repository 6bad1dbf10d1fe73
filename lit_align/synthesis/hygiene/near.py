"""Near-duplicates: pairs found by MinHash and locality-sensitive hashing, and decided by their exact Jaccard index."""

import zlib
from collections.abc import Sequence
from typing import cast, final

from lit_align.errors import ConfigError
from lit_align.progress import track
from lit_align.synthesis.hygiene.clusters import Clusters
from lit_align.synthesis.hygiene.texts import jaccard, shingles

_FOUND_AT_THRESHOLD = 0.98


@final
class NearDuplicates:
    """Clusters texts whose sets of character shingles have a Jaccard index of at least `threshold`.

    The index proposes pairs: one at the threshold itself with a probability of 98 %, more similar ones more often.
    Every pair is then compared exactly, so none below the threshold is joined. Kept in memory: each text, and about
    nine kilobytes of index for it.

    Args:
        threshold: Smallest Jaccard index of two texts of one cluster that are joined directly.
        num_permutations: Length of a MinHash signature.
        shingle: Characters in a row that are one element of a text's set.
        seed: Of the permutations.
    """

    def __init__(self, *, threshold: float = 0.8, num_permutations: int = 128, shingle: int = 5, seed: int = 0) -> None:
        from datasketch import MinHash, MinHashLSH

        if not 0 < threshold <= 1:
            raise ConfigError(f"the Jaccard threshold must lie above 0 and at most at 1, got {threshold}")
        self.threshold = threshold
        self._shingle = shingle
        self._blank = MinHash(num_perm=num_permutations, seed=seed, hashfunc=zlib.crc32)
        self._index = MinHashLSH(num_perm=num_permutations, params=bands(threshold, num_permutations))
        self._texts: list[str] = []
        self._groups: list[str] = []
        self._clusters = Clusters()

    def add(self, text: str, *, group: str = "") -> int:
        """Takes one more normalised text, which is compared within its group alone; returns its number."""
        number = self._clusters.add()
        self._texts.append(text)
        self._groups.append(group)
        signature = self._blank.copy()
        # With the group in every shingle, another group's texts are no candidates, however many are equal.
        signature.update_batch((group + shingle).encode() for shingle in shingles(text, self._shingle))
        for candidate in sorted(cast(list[int], self._index.query(signature))):
            # One pair connects two clusters; comparing more of them changes nothing.
            is_apart = self._clusters.root(candidate) != self._clusters.root(number)
            if is_apart and self._groups[candidate] == group and self._is_near(text, candidate):
                self._clusters.join(candidate, number)
        self._index.insert(number, signature, check_duplication=False)
        return number

    def groups(self) -> list[list[int]]:
        """The clusters of two texts and more, by their numbers."""
        return self._clusters.groups()

    def _is_near(self, text: str, candidate: int) -> bool:
        sets = shingles(text, self._shingle), shingles(self._texts[candidate], self._shingle)
        shorter, longer = sorted(map(len, sets))
        return shorter >= self.threshold * longer and jaccard(*sets) >= self.threshold


def near_duplicates(
    texts: Sequence[str], *, threshold: float = 0.8, seed: int = 0, groups: Sequence[str] | None = None
) -> list[list[int]]:
    """The clusters of two near-duplicate normalised texts and more, by their positions; none spans two `groups`.

    >>> near_duplicates(["the quick brown fox jumps", "another text", "the quick brown fox jumped"])
    [[0, 2]]
    """
    found = NearDuplicates(threshold=threshold, seed=seed)
    for number, text in enumerate(track(texts, "finding near-duplicates")):
        found.add(text, group="" if groups is None else groups[number])
    return found.groups()


def bands(threshold: float, num_permutations: int) -> tuple[int, int]:
    """Number and length of the bands of a signature: the longest that still find 98 % of the pairs at the threshold.

    >>> bands(0.8, 128)
    (18, 7)
    """
    for rows in range(num_permutations // 2, 1, -1):
        number = num_permutations // rows
        if 1 - (1 - threshold**rows) ** number >= _FOUND_AT_THRESHOLD:
            return number, rows
    return num_permutations, 1
