"""`lit-align run`: builds what a recipe's program adds, and continues where it was stopped."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lit_align.loop.observer import Observer


def run(
    recipe: str,
    /,
    *,
    workdir: Path | None = None,
    dry_run: bool = False,
    init_args: dict[str, Any] | None = None,
    parallel: int | None = None,
    threads: int | None = None,
    launcher: str | None = None,
    tracking_uri: str | None = None,
    verify: bool = False,
    verbose: bool = False,
) -> int:
    """Runs a multi-stage recipe, such as the weak-to-strong loop. Stages that are built already are skipped.

    A run that was stopped, killed or changed continues with the same command: only what is missing or depends on the
    change is built. Exit code 7: a gate stopped the loop.

    Args:
        recipe: Path of a recipe, or the name of a shipped one.
        workdir: Where everything is written; default: runs/NAME.
        dry_run: Print the stages in order, with what is cached, what will run and why. Writes nothing.
        init_args: Overrides of the recipe's init_args, for example --init_args.seed 2.
        parallel: Stages at once; default: the number of CPUs, or 1 where there is a GPU.
        threads: CPU threads of each stage; default: the CPUs divided by parallel.
        launcher: Command that starts stages on several devices, for example
            "torchrun --nproc_per_node {devices} {worker}".
        tracking_uri: MLflow tracking URI; default: $MLFLOW_TRACKING_URI, else mlflow.db in the workdir; "none" tracks
            nothing.
        verify: Compare the hashes of all cached files with their manifests, not the sizes only.
        verbose: Show what the stages print.
    """
    from lit_align.loop.recipe import load_recipe
    from lit_align.loop.runner import Runner

    loaded = load_recipe(recipe, init_args=init_args)
    given = {"parallel": parallel, "threads": threads, "launcher": launcher}
    options = {key: loaded.settings[key] if value is None else value for key, value in given.items()}
    folder = workdir or loaded.settings["workdir"] or Path("runs") / loaded.name
    observer = None if dry_run else _observer(tracking_uri or loaded.settings["tracking_uri"])
    runner = Runner(
        folder,
        name=loaded.name,
        recipe=loaded.text,
        observer=observer,
        preload=loaded.program.preload,
        verify=verify,
        verbose=verbose,
        **{key: value for key, value in options.items() if value is not None},
    )
    loaded.program.build(runner)
    if dry_run:
        print(runner.describe())
        return 0
    program = loaded.program
    return runner.run(finish=lambda: program.finish(runner), stopped=lambda: program.stopped(runner))


def _observer(tracking_uri: str | None) -> "Observer | None":
    if tracking_uri == "none":
        return None
    from lit_align.loop.mlflow_observer import MLflowObserver

    return MLflowObserver(tracking_uri)
