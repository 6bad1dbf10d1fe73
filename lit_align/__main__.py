"""`python -m lit_align` is the console script `lit-align`."""

import sys

from lit_align.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
