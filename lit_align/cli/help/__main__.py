"""`python -m lit_align.cli.help [--write]`: compares the stored help texts with the real parsers, or writes them."""

import io
import os
import sys
from contextlib import redirect_stdout, suppress

from lit_align.cli.help import help_file, lightning_commands
from lit_align.cli.parsing import readable_types
from lit_align.files import atomic_write

_WIDTH = "120"


def real_help() -> dict[str, str]:
    """The help of every Lightning command from its real parser. Imports Lightning: about 10 s of CPU."""
    os.environ["COLUMNS"] = _WIDTH  # argparse wraps at the width of the terminal
    from lit_align.cli.lightning import build_parser

    parser, texts = build_parser(), {}
    for name in lightning_commands():
        with redirect_stdout(io.StringIO()) as out, suppress(SystemExit):
            parser.parse_args([name, "--help"])
        texts[name] = readable_types(out.getvalue())
    return texts


def main(argv: list[str]) -> int:
    """Writes the texts with `--write`; without, returns 1 if a stored text differs from its parser."""
    stale = 0
    for name, text in real_help().items():
        path = help_file(name)
        if path.is_file() and path.read_text(encoding="utf-8") == text:
            continue
        stale += 1
        print(f"{'wrote' if '--write' in argv else 'stale'}: {path}")
        if "--write" in argv:
            with atomic_write(path) as file:
                file.write(text)
    return 1 if stale and "--write" not in argv else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
