"""Results with every part of a report in them, and a trap in every text."""

import math

from lit_align.loop.results import (
    Column,
    Curve,
    DotPlot,
    GateVerdict,
    Highlight,
    LinePlot,
    LoopResults,
    Metric,
    Origin,
    ReferenceLine,
    Response,
    Sample,
    Series,
    StageRow,
    Table,
)

TRAP = "<script>alert('{}')</script>\x1b]0;\"&"


def trap(place: str) -> str:
    return TRAP.format(place)


def example() -> LoopResults:
    strict = Metric(value=0.8127, low=0.789, high=0.836, n=997, detail=trap("detail"))
    return LoopResults(
        title=trap("title"),
        summary=trap("summary"),
        highlights=(Highlight(label=trap("label"), value=trap("value"), note=trap("note")),),
        columns=(
            Column(key="strict", title=trap("column"), meaning=trap("meaning")),
            Column(key="loss", title="Loss", percent=False),
        ),
        rows=(
            StageRow(title=trap("row"), kind=trap("kind"), metrics={"strict": strict}, is_champion=True),
            StageRow(title="DPO", iteration=1, metrics={"strict": Metric(value=math.nan), "loss": Metric(value=0.5)}),
        ),
        plots=(
            DotPlot(
                title=trap("dots"),
                meaning=trap("dots meaning"),
                labels=(trap("dot label"), "b"),
                series=(Series(title=trap("series"), values=(strict, None)),),
                lines=(ReferenceLine(title=trap("line"), value=0.4),),
            ),
            LinePlot(
                title=trap("lines"),
                x_title=trap("x"),
                curves=(Curve(title=trap("curve"), x=(1, 2, 4), y=(0.1, math.nan, 0.3)),),
                percent=True,
                log_x=True,
            ),
        ),
        training=(LinePlot(title="loss", x_title="step", curves=(Curve(title="train", x=(), y=()),)),),
        tables=(
            Table(
                title=trap("table"),
                meaning=trap("table meaning"),
                columns=(Column(key="a", title=trap("head"), percent=False), Column(key="m", title="m")),
                rows=({"a": trap("cell"), "m": strict},),
            ),
        ),
        samples=(
            Sample(
                prompt=trap("prompt") + "\n" + "x" * 200,
                answer=trap("answer"),
                responses=(
                    Response(stage=trap("stage"), text=trap("response"), is_correct=True, reward=1.25),
                    Response(stage="b", text="c", is_correct=False),
                    Response(stage="c", text="d"),
                ),
            ),
        ),
        gates=(
            GateVerdict(
                title=trap("gate"),
                passed=False,
                measured=trap("measured"),
                required=trap("required"),
                meaning=trap("why"),
                verdict=trap("verdict"),
            ),
        ),
        lineage=(
            Origin(title=trap("origin"), kind=trap("origin kind"), fingerprint="ab" * 32),
            Origin(title="model", kind="model", fingerprint="cd" * 32, parents={trap("role"): "ab" * 32, "x": "<i>"}),
        ),
        config={trap("key"): {"value": trap("config"), "api_key": "canary-8472"}},
        versions={trap("package"): trap("version")},
        is_complete=False,
    )
