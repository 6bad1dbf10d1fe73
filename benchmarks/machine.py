"""What a measurement was made on."""

import datetime
import os
import platform
from importlib import metadata
from pathlib import Path
from typing import Any

from benchmarks.options import Options, commit

_PACKAGES = ("lit-align", "torch", "transformers", "lightning")


def describe(options: Options) -> dict[str, Any]:
    """Machine, versions, commit and date."""
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "threads": options.threads,
        "memory": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "versions": {name: metadata.version(name) for name in _PACKAGES},
        "commit": commit(),
        "date": datetime.date.today().isoformat(),
        "model": options.model,
        "rows": "HH-RLHF harmless-base" if options.hh else Path(options.rows).name if options.rows else "drawn",
        "quick": options.quick,
    }


def has_avx512() -> bool:
    """Whether the processor has the vector instructions that are twice as wide as AVX2's."""
    return "avx512f" in _cpuinfo().get("flags", "").split()


def _processor() -> str:
    """The processor's name, and the widest of its vector instructions that matter here."""
    fields = _cpuinfo()
    flags = set(fields.get("flags", "").split())
    widest = next((name for name in ("amx_tile", "avx512f", "avx2") if name in flags), "")
    name = fields.get("model name") or platform.processor() or platform.machine()
    return f"{name} {widest}".strip()


def _cpuinfo() -> dict[str, str]:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return {}
    values = dict(line.split(":", 1) for line in lines if ":" in line)
    return {key.strip(): value.strip() for key, value in values.items()}
