"""`lit-align data judge`: preferences by a language model that compares two responses in both orders."""

import json as json_format
from pathlib import Path
from typing import Literal

from lit_align.commands.generators import chosen_generator
from lit_align.commands.output import ROWS, check_output
from lit_align.data.accounting import Accounting
from lit_align.data.report import plain_console, print_accounting
from lit_align.data.sources import require_rows
from lit_align.files import write_jsonl
from lit_align.generation.base import Generator, Sampling
from lit_align.generation.openai import OpenAIGenerator  # noqa: F401 - may then be named without its module
from lit_align.synthesis.asking import answered
from lit_align.synthesis.preferences import Judge, PositionBias, gather
from lit_align.synthesis.preferences.judge import CRITERIA
from lit_align.synthesis.template import replacement, shipped


def judge(
    file: str,
    /,
    *,
    output: Path,
    others: list[str] | None = None,
    model: str | None = None,
    generator: Generator | None = None,
    compare: Literal["two", "all"] = "two",
    criteria: str = CRITERIA,
    question: str | None = None,
    finished_only: bool = True,
    max_length_ratio: float | None = None,
    max_similarity: float = 0.9,
    max_new_tokens: int = 512,
    template: str = "tokenizer",
    split: str = "train",
    seed: int = 0,
    overwrite: bool = False,
    json: bool = False,
) -> None:
    """Makes preferences of responses by asking a language model, twice, with the responses exchanged.

    A verdict counts if it is the same in both orders; how often the judge preferred the response it read first is
    printed. What it said is kept in OUTPUT.judge.jsonl, from which a stopped command continues when it is repeated.
    Exits with 3 and `file:line` on malformed input, and where no pair is left.

    Args:
        file: A .jsonl, .jsonl.gz, .json or .parquet file, a folder of such files, or a hub id; one response a row.
        output: File of the preference rows, .jsonl or .jsonl.gz.
        others: Further such files: responses of other models to the same prompts.
        model: The judge: folder or hub id of a causal language model, to run in this process.
        generator: Class path of what judges instead, such as lit_align.generation.openai.OpenAIGenerator for a server;
            its own options are --generator.NAME (--generator.help CLASS lists them).
        compare: Two responses of each prompt, drawn by the seed, or all pairs of them.
        criteria: What counts, in words that continue "What counts is".
        question: File of a template that replaces the question to the judge; its slots are those of the shipped one.
        finished_only: Leave out responses that were cut off for length.
        max_length_ratio: Pairs are left out whose longer response has more than this many times the characters of the
            shorter one; none unless given.
        max_similarity: Pairs more alike than this are left out: ROUGE-L's F1 of their words; 1 leaves out none.
        max_new_tokens: Most tokens of what the judge says.
        template: Of --model: the tokenizer's own chat template, raw, the name of a built-in template, or a .jinja file.
        split: Which part of a folder or hub data set.
        seed: Of the draws.
        overwrite: Replace what another judge said, or was asked.
        json: End with one line of JSON: {"read": ..., "kept": ..., "dropped": {reason: number}}; of pairs.
    """
    chosen = chosen_generator(generator, model, {"template": template})
    sources = [file, *(others or [])]
    for source in sources:
        check_output(output, source, endings=ROWS)
    asked, counts = Accounting(), Accounting()
    asking = Judge(
        compare=compare,
        criteria=criteria,
        finished_only=finished_only,
        max_length_ratio=max_length_ratio,
        max_similarity=max_similarity,
        seed=seed,
        template=shipped("judge") if question is None else replacement(question, "judge"),
    )
    prompts = gather(sources, score=None, split=split, counts=Accounting())
    rows = list(asking.compose(prompts, counts=asked))
    print_accounting(asked, title=f"prompts of {file}", console=plain_console())
    require_rows(asked, file)
    sampling = Sampling(max_new_tokens=max_new_tokens, temperature=0.0)
    said = output.with_name(f"{output.name}.judge.jsonl")
    answers = answered(rows, output=said, generator=chosen, sampling=sampling, overwrite=overwrite)
    judged = asking.parse(answers, counts=counts, questions=rows)
    print_accounting(counts, title="pairs", console=plain_console())
    _print_bias(judged.bias)
    if json:
        print(json_format.dumps(counts.to_dict()))
    require_rows(counts, file)
    write_jsonl(output, judged.rows)


def _print_bias(bias: PositionBias) -> None:
    if bias.verdicts:
        pairs = bias.verdicts // 2
        print(f"verdicts for the response that was shown first: {bias.share:.0%} (half without a bias)")
        print(f"pairs whose verdict changed with the order: {bias.changed} of {pairs}")
