"""`lit-align export`."""


def export(*, checkpoint: str, output: str) -> None:
    """Turns a training checkpoint into a Hugging Face folder that plain transformers loads.

    Adapters are merged, the chat template and the tokens that end a response go with it, a reward model keeps its head.

    Args:
        checkpoint: A .ckpt file that `lit-align fit` or a lit-align module wrote.
        output: Folder to write; it must not exist.
    """
    from pathlib import Path

    from lit_align.errors import ConfigError
    from lit_align.modules.export import export_checkpoint

    if Path(output).exists():
        raise ConfigError(f"{output}: exists\nChoose another folder, or remove it.")
    export_checkpoint(Path(checkpoint), Path(output))
    print(output)
