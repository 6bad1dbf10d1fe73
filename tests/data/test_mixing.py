"""Mixtures: shares, replay, determinism, and an account that adds up."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from lit_align.data.mixing import Source, read_mixture, share_out
from lit_align.errors import ConfigError, DataError


def source(folder: Path, name: str, number: int, *, empty: int = 0) -> str:
    path = folder / f"{name}.jsonl"
    rows = [{"prompt": f"{name} {index}", "response": "x"} for index in range(number)]
    rows += [{"prompt": "p", "response": ""}] * empty
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def mixed(sources: Any, **options: Any) -> tuple[Counter[str], list[str], dict[str, Any]]:
    rows, counts = read_mixture(sources, "sft", **options)
    assert counts.read == counts.kept + counts.dropped.total()
    assert counts.kept == len(rows)
    names = Counter(row.messages[0].content.split()[0] for row in rows)
    return names, [row.place for row in rows], counts.to_dict()


def test_one_path_is_a_mixture_of_one(tmp_path: Path):
    path = source(tmp_path, "a", 3, empty=1)
    names, places, counts = mixed(path)
    assert names == {"a": 3}
    assert places == [f"{path}:{line}" for line in (1, 2, 3)]
    assert counts == {"read": 4, "kept": 3, "dropped": {"empty_response": 1}}


def test_without_weights_all_rows_of_all_sources_are_taken(tmp_path: Path):
    names, _, _ = mixed([source(tmp_path, "a", 3), Source(path=source(tmp_path, "b", 5))])
    assert names == {"a": 3, "b": 5}


def test_weights_are_shares_of_the_largest_mixture_without_repetition(tmp_path: Path):
    parts = [Source(path=source(tmp_path, "a", 90), weight=3.0), Source(path=source(tmp_path, "b", 10), weight=1.0)]
    names, places, counts = mixed(parts)
    assert names == {"a": 30, "b": 10}
    assert len(set(places)) == 40
    assert counts == {"read": 100, "kept": 40, "dropped": {"not_sampled": 60}}


def test_a_mixture_can_be_smaller(tmp_path: Path):
    parts = [Source(path=source(tmp_path, "a", 90), weight=3.0), Source(path=source(tmp_path, "b", 10), weight=1.0)]
    assert mixed(parts, num_rows=10)[0].total() == 10
    with pytest.raises(ConfigError, match="asks for 11 rows, the source has 10"):
        mixed(parts, num_rows=44)


def test_the_draw_is_a_function_of_the_seed_and_not_of_the_path(tmp_path: Path):
    (tmp_path / "elsewhere").mkdir()
    draws = []
    for folder, seed in ((tmp_path, 0), (tmp_path, 0), (tmp_path / "elsewhere", 0), (tmp_path, 1)):
        parts = [Source(path=source(folder, "a", 50), weight=1.0), Source(path=source(folder, "b", 20), weight=1.0)]
        draws.append([place.rpartition("/")[2] for place in mixed(parts, seed=seed)[1]])
    assert draws[0] == draws[1] == draws[2]
    assert draws[0] != draws[3]
    lines = [int(place.rpartition(":")[2]) for place in draws[0] if place.startswith("a")]
    assert lines == sorted(lines)


def test_replay_of_an_earlier_stage_takes_a_share_of_that_stage(tmp_path: Path):
    replay = Source(path=source(tmp_path, "code", 800), replay_fraction=0.02, of="stage_a")
    assert mixed([source(tmp_path, "general", 200), replay])[0] == {"general": 200, "code": 16}


def test_replay_as_a_share_of_the_mixture_counts_the_whole_mixture(tmp_path: Path):
    replay = Source(path=source(tmp_path, "code", 800), replay_fraction=0.02, of="mixture")
    names, _, counts = mixed([source(tmp_path, "general", 196), replay])
    assert names == {"general": 196, "code": 4}
    assert names["code"] / names.total() == 0.02
    assert counts["dropped"] == {"not_sampled": 796}


def test_two_replays_are_each_a_share_of_the_whole(tmp_path: Path):
    parts: list[str | Source] = [source(tmp_path, "general", 70)]
    parts += [
        Source(path=source(tmp_path, "code", 50), replay_fraction=0.1, of="mixture"),
        Source(path=source(tmp_path, "math", 50), replay_fraction=0.2, of="mixture"),
    ]
    assert mixed(parts)[0] == {"general": 70, "code": 10, "math": 20}


def test_replay_follows_weighted_sources(tmp_path: Path):
    parts = [
        Source(path=source(tmp_path, "a", 100), weight=1.0),
        Source(path=source(tmp_path, "b", 49), weight=1.0),
        Source(path=source(tmp_path, "old", 100), replay_fraction=0.02, of="mixture"),
    ]
    assert mixed(parts)[0] == {"a": 49, "b": 49, "old": 2}


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"weight": 0.0}, "must be positive"),
        ({"weight": float("nan")}, "must be positive"),
        ({"replay_fraction": 0.02}, "go together"),
        ({"of": "mixture"}, "go together"),
        ({"replay_fraction": 1.0, "of": "mixture"}, "between 0 and 1"),
        ({"replay_fraction": 0.1, "of": "stage_a", "weight": 1.0}, "either weight or replay_fraction"),
    ],
)
def test_a_source_that_contradicts_itself_is_refused(options: dict[str, Any], said: str):
    with pytest.raises(ConfigError, match=said):
        Source(path="a.jsonl", **options)


def test_sources_that_do_not_fit_together_are_refused(tmp_path: Path):
    a, b = source(tmp_path, "a", 5), source(tmp_path, "b", 5)
    with pytest.raises(ConfigError, match="to every source of the mixture, or to none"):
        mixed([Source(path=a, weight=1.0), Source(path=b)])
    with pytest.raises(ConfigError, match="num_rows needs a weight"):
        mixed([a, b], num_rows=3)
    with pytest.raises(ConfigError, match="every source is a replay"):
        mixed(Source(path=a, replay_fraction=0.5, of="stage_a"))
    half = [Source(path=path, replay_fraction=0.5, of="mixture") for path in (a, b)]
    with pytest.raises(ConfigError, match="add up to 1"):
        mixed([a, *half])
    with pytest.raises(ConfigError, match="asks for 20 rows, the source has 5"):
        mixed([a, Source(path=b, replay_fraction=0.8, of="mixture")])


def test_a_part_of_which_nothing_is_left_is_an_error(tmp_path: Path):
    with pytest.raises(DataError, match=r"b\.jsonl: all 2 rows were dropped"):
        mixed([source(tmp_path, "a", 5), source(tmp_path, "b", 0, empty=2)])


@pytest.mark.parametrize("total", range(12))
def test_shares_are_whole_and_add_up(total: int):
    shares = share_out([1.0, 1.0, 5.0], [100, 100, 100], num_rows=total)
    assert sum(shares) == total
    assert all(abs(share - weight * total / 7) < 1 for share, weight in zip(shares, (1, 1, 5), strict=True))
