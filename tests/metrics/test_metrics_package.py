"""What the package of metrics offers, and what importing it costs."""

import subprocess
import sys

import pytest

import lit_align.metrics


@pytest.mark.parametrize("name", lit_align.metrics.__all__)
def test_every_public_name_resolves(name: str) -> None:
    assert getattr(lit_align.metrics, name).__name__ == name


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'Perplexity'"):
        lit_align.metrics.Perplexity  # noqa: B018


def test_the_numpy_metrics_do_not_import_torch() -> None:
    code = "import sys, lit_align.metrics; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
