"""Gates and champions: what passes, what stops, who wins, and that whatever follows gets the winner."""

import json
import shutil

import pytest
from dummy_stages import Evaluate, Join, Write

from lit_align.errors import ConfigError, DataError
from lit_align.loop import Champion, GateError, MetricGate, Store, lineage
from lit_align.loop.ancestry import render, walk

GOOD, SAME, BAD = (1.0,) * 30 + (0.0,) * 10, (1.0,) * 29 + (0.0,) * 11, (1.0,) * 5 + (0.0,) * 35


def add_candidates(runner, *scores):
    pairs = []
    for number, score in enumerate(scores):
        model = runner.add(Write(text=f"model {number}"), title=f"model {number}")
        pairs.append((model, runner.add(Evaluate(model=model, scores=score), title=f"evaluate {number}")))
    return tuple(pairs)


def run_gate(runner, **limits):
    ((model, evaluation),) = add_candidates(runner, (1.0, 0.0))
    gate = runner.add(MetricGate(subject=model, evaluation=evaluation, **limits), title="gate")
    after = runner.add(Join(parts=(gate,)), title="after")
    runner.run()
    return runner.results(gate), runner.results(after)


def test_a_gate_lets_its_subject_through(make_runner):
    verdict, after = run_gate(make_runner(), minimum={"accuracy": 0.5}, maximum={"nested.strict": 0.25})
    assert verdict == {"measured": {"accuracy": 0.5, "nested.strict": 0.25}}
    assert after["text"] == "model 0"


@pytest.mark.parametrize(
    ("limits", "message"),
    [
        ({"minimum": {"accuracy": 0.75}}, "accuracy is 0.5, must be at least 0.75"),
        ({"maximum": {"accuracy": 0.25}}, "accuracy is 0.5, must be at most 0.25"),
        ({"minimum": {"nested": 0.0}}, "nested is nan, must be at least 0"),
    ],
)
def test_a_gate_stops_with_value_limit_and_meaning(make_runner, limits, message):
    runner = make_runner()
    with pytest.raises(GateError) as raised:
        run_gate(runner, **limits, meaning="It would pick the worse responses.")
    text = str(raised.value)
    assert raised.value.exit_code == 7
    assert text.startswith(f"gate: {message}\nIt would pick the worse responses.\nlog: ")
    assert runner.store.status(runner.nodes[-1].artifact).state == "absent"


def test_a_gate_names_the_results_there_are(make_runner):
    with pytest.raises(ConfigError, match="has no result 'acuracy'\nIt has: accuracy"):
        run_gate(make_runner(), minimum={"acuracy": 0.5})
    with pytest.raises(ConfigError, match="needs a minimum or a maximum"):
        run_gate(make_runner())


@pytest.mark.parametrize(
    ("scores", "options", "winner"),
    [
        ((BAD, GOOD), {}, "model 1"),
        ((GOOD, BAD), {}, "model 0"),
        ((GOOD, SAME), {}, "model 1"),  # not clearly worse
        ((GOOD, SAME), {"min_probability": 0.5}, "model 0"),  # worse by one prompt
        ((GOOD, BAD, GOOD), {}, "model 2"),  # ties go to the newer
        (
            (GOOD, BAD, SAME),
            {"min_probability": 0.5},
            "model 0",
        ),  # the challenge is to the champion
    ],
)
def test_a_candidate_wins_unless_it_is_worse(make_runner, scores, options, winner):
    runner = make_runner()
    champion = runner.add(
        Champion(candidates=add_candidates(runner, *scores), metric="correct", **options), title="best"
    )
    after = runner.add(Join(parts=(champion,)), title="after")
    runner.run()
    results = runner.results(champion)
    assert results["chosen"] == winner
    assert runner.results(after)["text"] == winner
    assert len(results["comparisons"]) == len(scores) - 1
    assert json.loads((champion.path / "choice.json").read_text())["comparisons"] == results["comparisons"]


def test_a_champion_of_champions_survives_the_move_of_the_workdir(make_runner, tmp_path):
    runner = make_runner()
    candidates = add_candidates(runner, GOOD, BAD)
    first = runner.add(Champion(candidates=candidates, metric="correct"), title="champion", iteration=1)
    challenge = runner.add(Evaluate(model=first, scores=GOOD), title="evaluate champion")
    pairs = ((candidates[1][0], candidates[1][1]), (first, challenge))
    second = runner.add(Champion(candidates=pairs, metric="correct"), title="champion", iteration=2)
    runner.run()
    assert runner.folder(second) == candidates[0][0].path
    shutil.move(tmp_path / "run", tmp_path / "moved")
    moved = make_runner(tmp_path / "moved")
    best = moved.add(
        Champion(candidates=add_candidates(moved, GOOD, BAD), metric="correct"), title="champion", iteration=1
    )
    assert moved.store.status(best).state == "built"
    assert moved.folder(best) == tmp_path / "moved" / "store" / candidates[0][0].path.name
    assert (best.path / "chosen" / "out.txt").read_text() == "model 0"


def test_candidates_must_be_measured_on_the_same_prompts(make_runner):
    runner = make_runner()
    champion = Champion(candidates=add_candidates(runner, GOOD, GOOD[:5]), metric="correct")
    runner.add(champion, title="best")
    with pytest.raises(DataError, match="not measured on the same prompts: 35 differ"):
        runner.run()


def test_rows_without_the_metric_are_named_by_line(make_runner):
    runner = make_runner()
    runner.add(Champion(candidates=add_candidates(runner, GOOD, GOOD), metric="strict"), title="best")
    with pytest.raises(DataError, match=r"per_prompt.jsonl:1: needs an `id` of its own and 'strict'"):
        runner.run()


def test_lineage_leads_from_a_fingerprint_to_everything_it_came_from(make_runner, tmp_path):
    (tmp_path / "prompts").mkdir()
    (tmp_path / "prompts" / "out.txt").write_text("prompts")
    runner = make_runner()
    prompts = runner.external(tmp_path / "prompts")
    champion = Champion(candidates=add_candidates(runner, GOOD, BAD), metric="correct")
    generator = runner.add(champion, title="champion", iteration=1)
    rows = runner.add(Join(parts=(generator, prompts)), title="generate", iteration=2)
    model = runner.add(Join(parts=(rows, rows), separator="/"), title="fit", iteration=2)
    runner.run()
    tree = lineage(Store(runner.workdir), model.fingerprint[:12])
    assert [ancestor.title for ancestor in walk(tree)] == [
        "fit (iteration 2)",
        "generate (iteration 2)",
        "champion (iteration 1)",
        "model 0",
        "evaluate 0",
        "model 1",
        "evaluate 1",
        "prompts",
    ]
    lines = render(tree).splitlines()
    assert lines[0] == f"fit (iteration 2) ({model.path.name})"
    assert lines[2] == f"    parts.0: champion (iteration 1) ({generator.path.name}), which chose model 0"
    assert lines[-1] == f"  parts.1: generate (iteration 2) ({rows.path.name}), as above"
    external = next(ancestor for ancestor in walk(tree) if ancestor.title == "prompts")
    assert (external.stage, external.place) == (None, str(tmp_path / "prompts"))
