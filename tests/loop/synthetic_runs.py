"""Runs of synthetic data in this process, for tests."""

import yaml
from run_here import read
from run_here import run_here as stages_here

from lit_align.files import write_jsonl

__all__ = ["CLASS", "SCRIPTED", "conversations", "read", "recipe", "run_here"]

CLASS = "lit_align.loop.synthesis.SyntheticData"
SCRIPTED = {"class_path": "scripted_generator.ScriptedGenerator"}


def recipe(path, **init_args):
    path.write_text(yaml.safe_dump({"class_path": CLASS, "init_args": init_args}))
    return str(path)


def run_here(name, workdir, **init_args):
    """All stages of a recipe, one after the other in this process: their results by title, their rows by title."""
    return stages_here(name, workdir, **init_args)[:2]


def conversations(path, number):
    """Like those of LMSYS-Chat-1M; every third is flagged."""
    turns = [
        [{"role": "user", "content": f"Real {i}?"}, {"role": "assistant", "content": "Hm."}] for i in range(number)
    ]
    rows = ({"conversation": t, "openai_moderation": [{"flagged": i % 3 == 0}]} for i, t in enumerate(turns))
    write_jsonl(path, rows)
    return {"path": str(path), "dataset": "chats", "licence": "free"}
