"""Semantic duplicates: texts whose embeddings point almost the same way."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from lit_align.errors import ConfigError
from lit_align.progress import progress
from lit_align.synthesis.hygiene.clusters import Clusters
from lit_align.synthesis.hygiene.embedding import Embedder

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

_BLOCK = 1024


def semantic_duplicates(
    texts: Sequence[str],
    embedder: Embedder,
    *,
    threshold: float = 0.95,
    block: int = _BLOCK,
    groups: Sequence[str] | None = None,
) -> list[list[int]]:
    """The clusters of two texts and more whose embeddings have a cosine of at least `threshold`, by their positions.

    All pairs are compared, a block of texts against a block: n embeddings are kept, never n x n numbers. What cosine
    means the same depends on the model; look at the pairs it finds before trusting one. None spans two `groups`.

    Raises:
        ConfigError: The threshold is no cosine above zero.
    """
    if not 0 < threshold <= 1:
        raise ConfigError(f"the cosine threshold must lie above 0 and at most at 1, got {threshold}")
    return similar(embedder.embed(texts), threshold=threshold, block=block, groups=groups) if texts else []


def similar(
    embeddings: "npt.NDArray[np.float32]",
    *,
    threshold: float,
    block: int = _BLOCK,
    groups: Sequence[str] | None = None,
) -> list[list[int]]:
    """The clusters of rows of length one whose products reach the threshold; none spans two `groups`."""
    import numpy as np

    number = len(embeddings)
    numbers = {name: place for place, name in enumerate(dict.fromkeys(groups or ()))}
    labels = np.zeros(number, dtype=np.int64) if groups is None else np.array([numbers[name] for name in groups])
    clusters = Clusters(number)
    starts = range(0, number, block)
    with progress("comparing embeddings", total=len(starts) * (len(starts) + 1) // 2, unit="blocks") as advance:
        for one in starts:
            for other in range(one, number, block):
                _join(embeddings, labels, (one, other), block, threshold, clusters)
                advance()
    return clusters.groups()


def _join(
    embeddings: "npt.NDArray[np.float32]",
    groups: "npt.NDArray[np.int64]",
    starts: tuple[int, int],
    block: int,
    threshold: float,
    clusters: Clusters,
) -> None:
    """Joins what is similar between two blocks; components first, since many equal texts have very many pairs."""
    import numpy as np
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    one, other = (embeddings[start : start + block] for start in starts)
    own, others = (groups[start : start + block] for start in starts)
    rows, columns = np.nonzero((one @ other.T >= threshold) & (own[:, None] == others))
    if not len(rows):
        return
    numbers = np.concatenate([np.arange(len(one)) + starts[0], np.arange(len(other)) + starts[1]])
    size = len(numbers)
    graph = coo_matrix((np.ones(len(rows), dtype=bool), (rows, columns + len(one))), shape=(size, size))
    _, labels = connected_components(graph, directed=False)
    firsts: dict[int, int] = {}
    for number, label in zip(numbers.tolist(), labels.tolist(), strict=True):
        clusters.join(firsts.setdefault(label, number), number)
