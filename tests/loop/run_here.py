"""Runs a program's stages one after the other in this process: for tests that look at what the stages make."""

import json

from lit_align.loop import Runner, StageContext
from lit_align.loop.parts import ROWS
from lit_align.loop.recipe import load_recipe


def context_of(node):
    """What a running stage knows."""
    return StageContext(
        title=node.title, iteration=None, fingerprint="f", seed=0, threads=1, progress=lambda done, total: None
    )


def read(path):
    """The rows of a file."""
    return [json.loads(line) for line in path.read_text().splitlines()]


def run_here(name, workdir, **init_args):
    """All stages of a recipe: their results by title, their rows by title, and the runner."""
    program = load_recipe(name, init_args=init_args).program
    runner = Runner(workdir, preload=(), parallel=1, threads=1)
    program.build(runner)
    results, rows = {}, {}
    for node in runner.nodes:
        folder = node.artifact.path
        folder.mkdir(parents=True)
        results[node.title] = node.stage.run(folder, context_of(node))
        if (folder / ROWS).is_file():
            rows[node.title] = read(folder / ROWS)
    return results, rows, runner
