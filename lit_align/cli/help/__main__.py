"""`python -m lit_align.cli.help [--write]`: compares what is stored with the real parsers, or writes it."""

import sys

from lit_align.cli.help import FOLDER
from lit_align.cli.help.generate import generate
from lit_align.files import atomic_write


def main(argv: list[str]) -> int:
    """Writes the stored files with `--write`; without, returns 1 if one differs from what the parsers say."""
    write, wanted = "--write" in argv, generate()
    stored = {path.name: path.read_text(encoding="utf-8") for path in FOLDER.glob("*.[tj]*")}
    for name in sorted(wanted.keys() | stored.keys()):
        if wanted.get(name) == stored.get(name):
            continue
        print(f"{'writing' if write else 'stale'}: {FOLDER / name}")
        if write and name in wanted:
            with atomic_write(FOLDER / name) as file:
                file.write(wanted[name])
        elif write:
            (FOLDER / name).unlink()
    return int(not write and wanted != stored)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
