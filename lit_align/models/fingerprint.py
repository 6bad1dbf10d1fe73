"""Identifies a model by its weights."""

import functools
from pathlib import Path

from lit_align.files import sha256_of_file, sha256_of_json


def model_fingerprint(path: str) -> str:
    """sha256 over the configuration and safetensors files of a folder."""
    folder = Path(path)
    files = sorted([*folder.glob("*.safetensors"), *folder.glob("*.json")])
    stamps = tuple((str(file), file.stat().st_size, file.stat().st_mtime_ns) for file in files)
    return _hash(stamps)


@functools.lru_cache
def _hash(stamps: tuple[tuple[str, int, int], ...]) -> str:
    return sha256_of_json({Path(name).name: sha256_of_file(name) for name, _, _ in stamps})
