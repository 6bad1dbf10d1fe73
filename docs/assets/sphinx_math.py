"""Lets mkdocs show the math of our docstrings, which is written as Sphinx and editors know it."""

import re
import textwrap
from typing import Any

import griffe

_BLOCK = re.compile(r"^( *)\.\. math::(.*(?:\n(?:\1 +.*|[ ]*))*)", re.MULTILINE)
_INLINE = re.compile(r":math:`([^`]+)`")
_REFERENCE = re.compile(r":(?:func|class|meth|mod):`~?([^`]+)`")


def to_markdown(text: str) -> str:
    """`text` with Sphinx's math and references as Markdown has them."""
    text = _BLOCK.sub(lambda m: f"{m[1]}$$\n{textwrap.dedent(m[2]).strip()}\n$$\n\n", text)
    return _REFERENCE.sub(r"`\1`", _INLINE.sub(r"$\1$", text))


class SphinxMath(griffe.Extension):
    """Rewrites every docstring as it is loaded."""

    def on_object(self, *, obj: griffe.Object, **kwargs: Any) -> None:
        """Called for every module, class, function and attribute."""
        if obj.docstring is not None:
            obj.docstring.value = to_markdown(obj.docstring.value)
