"""`lit-align score`."""


def score(
    *,
    model: str,
    data: str,
    output: str,
    template: str = "tokenizer",
    dtype: str = "float32",
    device: str = "auto",
    max_tokens: int = 8192,
) -> None:
    """Scores responses with a reward model: every attribute by name, and the reward.

    Rows may hold one response, a chosen and a rejected one, or a list of them. Human ratings that stand under an
    attribute's name move to `ratings`. A stopped run continues where it was.

    Args:
        model: Folder of a reward model.
        data: Rows with a prompt and responses: .jsonl, .jsonl.gz, .parquet or a hub id.
        output: File for the rows with their scores (.jsonl).
        template: Chat template: the tokenizer's own, raw, a built-in one or a .jinja file.
        dtype: What the weights are loaded in.
        device: auto takes a GPU where there is one.
        max_tokens: Tokens of a forward pass.
    """
    from pathlib import Path

    from lit_align.errors import ConfigError

    # Before torch is imported, which takes seconds.
    if Path(model).is_dir() and not (Path(model) / "reward_head.json").exists():
        raise ConfigError(f"{model}: not a reward model: reward_head.json is missing\nTrain one with lit-align fit.")
    from lit_align.modules.inference import RewardReader, score_rows

    reader = RewardReader(model, template=template, dtype=dtype, device=device, max_tokens=max_tokens)
    score_rows(reader, data, output)
