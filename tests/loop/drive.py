"""A driver to be killed: `python drive.py WORKDIR PAUSE` runs the dummy program."""

import sys

from dummy_stages import Numbers

from lit_align.loop import Runner

if __name__ == "__main__":
    runner = Runner(sys.argv[1], preload=(), parallel=2, threads=1)
    program = Numbers(num_chains=3, pause=float(sys.argv[2]))
    program.build(runner)
    sys.exit(runner.run(finish=lambda: program.finish(runner)))
