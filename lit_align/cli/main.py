"""The entry of `lit-align`: answers help, version and mistakes without heavy imports, then hands over to a command."""

import logging
import os
import signal
import sys
from importlib import import_module
from types import FrameType
from typing import NoReturn

from lit_align.cli.errors import report
from lit_align.cli.help import group_help, lightning_help, program_help
from lit_align.cli.table import Command, find_command, subcommands
from lit_align.errors import Interrupted

_HELP = ("-h", "--help")
_BROKEN_PIPE = 128 + signal.SIGPIPE if hasattr(signal, "SIGPIPE") else 1
# transformers imports torchao where it is installed; these then warn of kernels and names that nothing here uses.
_WARN_AT_IMPORT = ("torchao", "torch.utils._pytree")
# Nothing calls home: neither library may send usage data, or fetch its settings for that, unless the user says so.
_ENVIRONMENT = {"HF_HUB_DISABLE_TELEMETRY": "1", "MLFLOW_DISABLE_TELEMETRY": "true"}


def main(argv: list[str] | None = None) -> int:
    """Runs the command line `argv` (default: that of the process) and returns the exit code.

    0 done, 1 a bug, 2 configuration, 3 data, 4 resources, 5 remote service, 6 non-finite training, 75 interrupted.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    debug = "--debug" in words
    words = [word for word in words if word != "--debug"]
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    for name in _WARN_AT_IMPORT:
        logging.getLogger(name).addFilter(_is_error)
    try:
        code = _dispatch(words)
        sys.stdout.flush()
    except SystemExit as error:  # argparse's help and LightningCLI leave this way
        return _exit_code(error)
    except BrokenPipeError as error:
        return _BROKEN_PIPE if _stdout_is_closed() else report(error, debug=debug)
    except (Exception, KeyboardInterrupt) as error:
        return report(error, debug=debug)
    return code


def _is_error(record: logging.LogRecord) -> bool:
    return record.levelno >= logging.ERROR


def _dispatch(words: list[str]) -> int:
    if not words or words[0] in _HELP:
        print(program_help(), end="")
        return 0 if words else 2
    if words[0] == "--version":
        from importlib.metadata import version

        print(f"lit-align {version('lit-align')}")
        return 0
    if subcommands(words[0]) and (words[1:2] == [] or words[1] in _HELP):
        print(group_help(words[0]), end="")
        return 0 if words[1:] else 2
    command, rest = find_command(words)
    if command.is_lightning and (text := lightning_help(command.name, rest)):
        print(text, end="")
        return 0
    return _run(command, rest)


def _run(command: Command, argv: list[str]) -> int:
    from lit_align.cli.configs import resolve_configs

    argv = resolve_configs(argv)
    module, _, function = command.target.partition(":")
    if command.is_lightning:
        from lit_align.cli.precheck import precheck

        precheck(command.name, argv)
        return import_module(module).main([command.name, *argv])
    from lit_align.cli.functions import run_function

    signal.signal(signal.SIGTERM, _terminate)  # Lightning has its own handler
    return run_function(getattr(import_module(module), function), argv, prog=f"lit-align {command.name}")


def _terminate(number: int, frame: FrameType | None) -> NoReturn:
    raise Interrupted("stopped by SIGTERM\nThe same command continues where it stopped.")


def _exit_code(error: SystemExit) -> int:
    if isinstance(error.code, str):
        print(error.code, file=sys.stderr)
        return 1
    return error.code or 0


def _stdout_is_closed() -> bool:
    try:
        print(flush=True)  # the error that led here may have come from another pipe
    except BrokenPipeError:
        # Python flushes standard output once more at exit; there is nobody left to read it.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return True
    return False
