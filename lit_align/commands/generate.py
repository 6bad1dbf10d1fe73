"""`lit-align generate`: samples K responses for every prompt of a file."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from lit_align.commands.generators import chosen_generator
from lit_align.commands.output import ROWS, check_output
from lit_align.generation.base import Generator, Sampling
from lit_align.generation.openai import OpenAIGenerator  # noqa: F401 - may then be named without its module

if TYPE_CHECKING:
    from lit_align.data.rows import PromptOnly
    from lit_align.generation.rows import Generated


def generate(
    *,
    prompts: str,
    output: Path,
    model: str | None = None,
    generator: Generator | None = None,
    num_samples: int = 1,
    max_new_tokens: int = 256,
    temperature: float = 1.0,
    top_p: float = 1.0,
    seed: int = 0,
    system: str | None = None,
    template: str = "tokenizer",
    split: str = "train",
    batch_size: int = 1024,
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto",
    device: str = "auto",
    overwrite: bool = False,
    skip_failed: bool = False,
) -> None:
    """Samples responses for every prompt of a file; each row of the output names model, sampling and seed.

    A command that was stopped or killed continues when it is repeated; with a model in this process it then writes the
    same bytes. Prompts too long for the model are left out and listed in OUTPUT.refused.jsonl. Where a service fails
    for some, they are listed in OUTPUT.failed.jsonl, the command ends with exit code 5, and repeated it tries those
    again.

    Args:
        prompts: A .jsonl, .jsonl.gz, .json or .parquet file, a folder of such files, or a hub id; rows with `prompt`
            (a string or messages), `messages`, or chosen and rejected. Other columns are carried through.
        output: File to write, .jsonl or .jsonl.gz.
        model: Folder or hub id of a causal language model, to run in this process.
        generator: Class path of what answers instead, such as lit_align.generation.openai.OpenAIGenerator for a server;
            its own options are --generator.NAME (--generator.help CLASS lists them).
        num_samples: Responses to each prompt.
        max_new_tokens: Most tokens of a response, its terminator included.
        temperature: Divides the logits; 0 takes the likeliest token.
        top_p: Draws from the smallest set of likeliest tokens whose probability reaches this much.
        seed: Of the sampling; a response depends on it, its prompt and its index alone.
        system: System turn for the prompts that have none.
        template: Of --model: the tokenizer's own chat template, raw, the name of a built-in template, or a .jinja file.
        split: Which part of a folder or hub data set.
        batch_size: Of --model: most sequences decoded together; memory may allow fewer.
        dtype: Of --model: of weights and computation; auto: the checkpoint's own on a GPU, float32 on a CPU.
        device: Of --model: for example cpu or cuda:1; auto: the GPU where there is one.
        overwrite: Replace an output that was made by another request.
        skip_failed: Leave prompts that failed out, listed in OUTPUT.refused.jsonl, and finish the output.
    """
    from lit_align.data.sources import read_prompts

    generator = chosen_generator(
        generator, model, {"template": template, "dtype": dtype, "device": device, "batch_size": batch_size}
    )
    sampling = Sampling(
        num_samples=num_samples, max_new_tokens=max_new_tokens, temperature=temperature, top_p=top_p, seed=seed
    )
    check_output(output, prompts, endings=ROWS)
    rows, counts = read_prompts(prompts, split=split)
    if counts.dropped:
        print(counts.summary(), file=sys.stderr)

    # The checks above need no torch, and answer at once.
    from lit_align.generation.rows import generate_rows

    result = generate_rows(
        [row if system is None else _with_system(row, system) for row in rows],
        generator=generator,
        output=output,
        sampling=sampling,
        overwrite=overwrite,
        max_failed=1.0 if skip_failed else 0.0,
    )
    _report(result, output, generator)


def _with_system(row: "PromptOnly", system: str) -> "PromptOnly":
    from dataclasses import replace

    from lit_align.data.rows import Message

    if row.prompt[0].role == "system":
        return row
    return replace(row, prompt=(Message(role="system", content=system), *row.prompt))


def _report(result: "Generated", output: Path, generator: Generator) -> None:
    reasons = ", ".join(f"{name} {number}" for name, number in result.finish_reasons.items())
    print(f"{output}: {result.samples} responses to {result.prompts} prompts")
    length = "" if result.mean_tokens is None else f"; {result.mean_tokens:.1f} tokens on average"
    print(f"  finished by: {reasons}{length}")
    if result.finish_reasons.get("length"):
        print("  `length` means cut at max_new_tokens: no complete answer")
    if result.refused:
        print(f"  {result.refused} prompts were refused, with reasons in {output}.refused.jsonl")
    if status := generator.status():
        print(f"  {status}")
