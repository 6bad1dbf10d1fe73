"""Runs of synthetic data in this process, for tests."""

import json

import yaml

from lit_align.files import write_jsonl
from lit_align.loop import Runner, StageContext
from lit_align.loop.parts import ROWS
from lit_align.loop.recipe import load_recipe

CLASS = "lit_align.loop.synthesis.SyntheticData"
SCRIPTED = {"class_path": "scripted_generator.ScriptedGenerator"}


def read(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def recipe(path, **init_args):
    path.write_text(yaml.safe_dump({"class_path": CLASS, "init_args": init_args}))
    return str(path)


def run_here(name, workdir, **init_args):
    """All stages of a recipe, one after the other in this process: their results by title, their rows by title."""
    program = load_recipe(name, init_args=init_args).program
    runner = Runner(workdir, preload=(), parallel=1, threads=1)
    program.build(runner)
    results, rows = {}, {}
    for node in runner.nodes:
        folder = node.artifact.path
        folder.mkdir(parents=True)
        context = StageContext(
            title=node.title, iteration=None, fingerprint="f", seed=0, threads=1, progress=lambda done, total: None
        )
        results[node.title] = node.stage.run(folder, context)
        if (folder / ROWS).is_file():
            rows[node.title] = read(folder / ROWS)
    return results, rows


def conversations(path, number):
    """Like those of LMSYS-Chat-1M; every third is flagged."""
    turns = [
        [{"role": "user", "content": f"Real {i}?"}, {"role": "assistant", "content": "Hm."}] for i in range(number)
    ]
    rows = ({"conversation": t, "openai_moderation": [{"flagged": i % 3 == 0}]} for i, t in enumerate(turns))
    write_jsonl(path, rows)
    return {"path": str(path), "dataset": "chats", "licence": "free"}
