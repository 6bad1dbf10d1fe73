"""Identifies a model by what decides its outputs: its configuration and its weights."""

import functools
import json
from pathlib import Path

from lit_align.errors import ConfigError
from lit_align.files import sha256_of_file, sha256_of_json

_CONFIGS = ("config.json", "generation_config.json", "reward_head.json", "adapter_config.json")
# Change with the version or the place of a save, not with what the model computes.
_NOT_THE_MODEL = ("_name_or_path", "transformers_version")


def model_fingerprint(path: str | Path) -> str:
    """The sha256 over configuration and safetensors of a folder; of a hub id, `owner/name@commit`.

    A folder's fingerprint does not depend on where it lies. Hashes of files are remembered within the process, by
    path, size and time of change.

    Raises:
        ConfigError: The folder holds no configuration or no safetensors, or the hub id cannot be resolved.
    """
    folder = Path(path)
    if not folder.is_dir():
        return f"{path}@{_commit(str(path))}"
    configs = [folder / name for name in _CONFIGS if (folder / name).exists()]
    weights = sorted(folder.glob("*.safetensors"))
    if not configs or not weights:
        raise ConfigError(f"{folder}: not a model folder: {'*.safetensors' if configs else 'config.json'} is missing")
    hashes = {file.name: _hash(str(file), file.stat().st_size, file.stat().st_mtime_ns) for file in weights}
    return sha256_of_json(hashes | {file.name: _content(file) for file in configs})


@functools.lru_cache(maxsize=1024)
def _hash(path: str, size: int, mtime_ns: int) -> str:
    """The sha256 of a file; size and time are there to be part of the key."""
    return sha256_of_file(path)


def _content(file: Path) -> dict[str, object]:
    try:
        config = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ConfigError(f"{file}: not valid JSON: {error}") from error
    return {key: value for key, value in config.items() if key not in _NOT_THE_MODEL}


def _commit(name: str) -> str:
    """The commit that a hub id means: of the snapshot that is loaded, downloaded or cached."""
    from transformers.utils.hub import cached_file, extract_commit_hash

    try:
        resolved = cached_file(name, "config.json")
    except OSError as error:
        raise ConfigError(f"{name}: no such folder or hub id: {str(error).splitlines()[0][:300]}") from error
    commit = extract_commit_hash(resolved, None)
    if commit is None:
        raise ConfigError(f"{name}: the hub does not say which commit this is")
    return commit
