"""`lit-align data tag`: what every prompt of a file asks for, its topic, difficulty and quality."""

import json as json_format
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from lit_align.commands.generators import chosen_generator
from lit_align.commands.output import ROWS, check_output
from lit_align.data.report import plain_console, print_counts
from lit_align.data.rows import Kind
from lit_align.errors import ConfigError
from lit_align.generation.base import Generator, Sampling
from lit_align.generation.openai import OpenAIGenerator  # noqa: F401 - may then be named without its module

if TYPE_CHECKING:
    from lit_align.synthesis.hygiene.tagged_files import Tagged

_MOST_SHOWN = 20


def tag(
    file: str,
    /,
    *,
    output: Path,
    by: Literal["model", "rules"] = "model",
    kind: Kind | None = None,
    model: str | None = None,
    generator: Generator | None = None,
    most: int = 8,
    question: str | None = None,
    max_new_tokens: int = 512,
    template: str = "tokenizer",
    split: str = "train",
    overwrite: bool = False,
    json: bool = False,
) -> None:
    """Adds tags to rows: what each prompt asks for, and its topic, difficulty and quality, by a model or by rules.

    Every row stays. One whose tags could not be had has none, and is counted under a reason. What the model said is
    kept in OUTPUT.tags.jsonl, from which a stopped command continues when it is repeated. `lit-align data clean
    --sample` draws rows by their tags, and `lit-align data card` shows them. Exits with 3 and `file:line` on malformed
    input, and where no row got a tag.

    Args:
        file: A .jsonl, .jsonl.gz, .json or .parquet file, a folder of such files, or a hub id; rows of any kind.
        output: File of the rows with their tags, .jsonl or .jsonl.gz.
        by: A model, or rules for the words of the prompt, which need none (English, coarse, tags alone).
        kind: What the rows are; told by the columns of the first one unless given.
        model: Folder or hub id of a causal language model, to run in this process.
        generator: Class path of what answers instead, such as lit_align.generation.openai.OpenAIGenerator for a server;
            its own options are --generator.NAME (--generator.help CLASS lists them).
        most: Most tags of a row, by a model.
        question: File of a template that replaces the question to the model; its slots are those of the shipped one.
        max_new_tokens: Most tokens of what the model says.
        template: Of --model: the tokenizer's own chat template, raw, the name of a built-in template, or a .jinja file.
        split: Which part of a folder or hub data set.
        overwrite: Replace what another model said, or was asked.
        json: End with one line of JSON: {"read": ..., "tagged": ..., "untagged": {reason: number}}.
    """
    from lit_align.synthesis.hygiene.tagged_files import by_model, by_rules, tag_file
    from lit_align.synthesis.hygiene.tagging import AskTags
    from lit_align.synthesis.template import replacement, shipped

    check_output(output, file, endings=ROWS)
    if by == "rules":
        if (model, generator, question) != (None, None, None):
            raise ConfigError("rules ask no model: give no --model, --generator or --question, or no --by")
        tagger = by_rules
    else:
        asked = shipped("tag_prompt") if question is None else replacement(question, "tag_prompt")
        tagger = by_model(
            AskTags(most=most, template=asked),
            said=output.with_name(f"{output.name}.tags.jsonl"),
            generator=chosen_generator(generator, model, {"template": template}),
            sampling=Sampling(max_new_tokens=max_new_tokens, temperature=0.0),
            overwrite=overwrite,
        )
    tagged = tag_file(file, output, tagger=tagger, kind=kind, split=split)
    _print(tagged, file)
    if json:
        print(json_format.dumps(tagged.to_dict()))


def _print(tagged: "Tagged", file: str) -> None:
    console = plain_console()
    counts = tagged.to_dict()
    untagged = {f"without tags: {reason}": number for reason, number in counts["untagged"].items()}
    print_counts({"rows": counts["read"], "with tags": counts["tagged"], **untagged}, title=file, console=console)
    for name, labels in tagged.labels.items():
        print_counts(dict(labels.most_common(_MOST_SHOWN)), title=f"rows by {name}", console=console)
