"""Errors that are the user's to fix. The command line prints them in a few lines and exits with their code."""

from typing import ClassVar


class LitAlignError(Exception):
    """Base class: cause first, then the place, then the remedy, in at most six lines."""

    exit_code: ClassVar[int] = 1


class ConfigError(LitAlignError):
    """A setting, path or combination of settings that cannot work."""

    exit_code = 2


class DataError(LitAlignError):
    """Malformed or unusable data; the message names `file:line` where there is one."""

    exit_code = 3


class ResourceError(LitAlignError):
    """Not enough memory or disk."""

    exit_code = 4


class ServiceError(LitAlignError):
    """A remote service failed for good; what was received is saved."""

    exit_code = 5


class NonFiniteError(LitAlignError):
    """A loss, gradient or weight became NaN or infinite."""

    exit_code = 6


class Interrupted(LitAlignError):
    """Stopped by a signal; the same command continues."""

    exit_code = 75
