"""Small data sets in the columns of the real ones, with what real ones have: empty rows, ties, shared prompts."""

import gzip
import json
import random

WORDS = ("the", "of", "and", "to", "in", "is", "that", "it", "for", "on", "with", "as", "are", "this", "be", "at")


def write_root(root, *, seed=0, train=30, held_out=6):
    """A folder laid out like local copies of the six data sets."""
    rng = random.Random(seed)
    for number, (name, row) in enumerate(ROWS.items()):
        prompts = [text(rng, 6, start=f"{number}") for _ in range(train + held_out)]
        last = HELD_OUT_NAMES.get(name, "test")
        write(root / name / "train.jsonl.gz", [row(prompt, rng) for prompt in prompts[:train]])
        write(root / name / f"{last}.jsonl.gz", [row(prompt, rng) for prompt in prompts[train:]])
    return root


def text(rng, length, *, start=""):
    return " ".join([*([start] if start else []), *rng.choices(WORDS, k=rng.randint(length // 2, length))])


def write(path, groups):
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = [row for group in groups for row in (group if isinstance(group, list) else [group])]
    with gzip.open(path, "wt", encoding="utf-8") as file:
        file.writelines(json.dumps(row) + "\n" for row in rows)


def ratings(prompt, rng):
    """Two responses to a prompt; verbosity is their length, the rest is noise."""
    rows = []
    for _ in range(2):
        words = rng.choice([4, 30])
        rated = dict.fromkeys(("helpfulness", "correctness", "coherence", "complexity"), rng.randint(0, 4))
        rows.append({"prompt": prompt, "response": text(rng, words), **rated, "verbosity": 3 if words == 30 else 0})
    return rows


def scored_pair(prompt, rng):
    sides = {"chosen": text(rng, 20), "rejected": text(rng, 10)}
    return {"prompt": prompt, **sides, "score_chosen": rng.randint(6, 9), "score_rejected": rng.randint(1, 5)}


def dialogue_pair(prompt, rng):
    return {side: f"\n\nHuman: {prompt}\n\nAssistant: {text(rng, 12)}" for side in ("chosen", "rejected")}


ROWS = {
    "code_alpaca": lambda prompt, rng: {
        "instruction": prompt,
        "input": "",
        "output": f"def f(): return {text(rng, 5)}",
    },
    "alpaca": lambda prompt, rng: {"instruction": prompt, "input": text(rng, 4), "output": text(rng, 8)},
    "dolly": lambda prompt, rng: {"instruction": prompt, "context": "", "response": text(rng, 9), "category": "qa"},
    "helpsteer2": ratings,
    "ultrafeedback_binarized": scored_pair,
    "hh_rlhf": dialogue_pair,
}
HELD_OUT_NAMES = {"helpsteer2": "validation"}
