"""A driver to be killed: `python drive_recipe.py RECIPE WORKDIR` runs a recipe without preloading anything."""

import sys

from lit_align.loop import Runner
from lit_align.loop.recipe import load_recipe

if __name__ == "__main__":
    runner = Runner(sys.argv[2], preload=(), parallel=2, threads=1)
    program = load_recipe(sys.argv[1]).program
    program.build(runner)
    sys.exit(runner.run(finish=lambda: program.finish(runner)))
