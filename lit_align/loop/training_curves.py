"""Training curves from a stage's `metrics.jsonl`, thinned out so that a report stays small."""

from collections import defaultdict
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

from lit_align.loop.results import Curve, LinePlot
from lit_align.tracking.metrics_file import read_metrics

_Point = tuple[int | float, int | float]

_MOST_POINTS = 150
_HIDDEN = frozenset({"epoch"})


def training_plots(metrics: Path, *, title: str = "", names: Sequence[str] = ()) -> tuple[LinePlot, ...]:
    """One plot a metric name, the curves of `train/x` and `val/x` together.

    Args:
        metrics: A `metrics.jsonl`.
        title: Begins every plot's title: the stage.
        names: The names after the slash to show, in this order; default: all.
    """
    curves: dict[str, dict[str, list[_Point]]] = defaultdict(lambda: defaultdict(list))
    for name, step, value in read_metrics(metrics):
        group, _, metric = name.rpartition("/")
        if name not in _HIDDEN and value == value:  # NaN has no place in a curve
            curves[metric][group or metric].append((step, float(value)))
    shown = [name for name in names if name in curves] if names else list(curves)
    return tuple(
        LinePlot(
            title=f"{title}: {metric}" if title else metric,
            x_title="step",
            curves=tuple(_curve(group, sorted(points)) for group, points in curves[metric].items()),
        )
        for metric in shown
    )


def thin(points: Sequence[_Point], *, num_points: int = _MOST_POINTS) -> list[_Point]:
    """Keeps the points that make a curve's shape: largest triangle of three buckets (Steinarsson, 2013).

    >>> thin([(0, 0.0), (1, 0.1), (2, 9.0), (3, 0.1), (4, 0.0)], num_points=3)
    [(0, 0.0), (2, 9.0), (4, 0.0)]
    """
    if len(points) <= num_points or num_points < 3:
        return list(points)
    kept = [points[0]]
    width = (len(points) - 2) / (num_points - 2)
    edges = [1 + int(i * width) for i in range(num_points - 1)]
    for i, (start, end) in enumerate(pairwise(edges)):
        following = points[end : edges[i + 2]] if i + 2 < len(edges) else points[-1:]
        mean = (sum(x for x, _ in following) / len(following), sum(y for _, y in following) / len(following))
        kept.append(max(points[start:end], key=lambda point: _area(kept[-1], point, mean)))
    return [*kept, points[-1]]


def _curve(title: str, points: list[_Point]) -> Curve:
    thinned = thin(points)
    return Curve(title=title, x=tuple(x for x, _ in thinned), y=tuple(y for _, y in thinned))


def _area(a: _Point, b: _Point, c: _Point) -> float:
    return abs((a[0] - c[0]) * (b[1] - a[1]) - (a[0] - b[0]) * (c[1] - a[1]))
