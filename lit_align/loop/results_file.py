"""Results as JSON: the numbers for scripts (`results.json`), everything for the report (`report.json`)."""

import dataclasses
import json
import math
import types
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

from lit_align.errors import ConfigError
from lit_align.files import write_json
from lit_align.loop.results import DotPlot, LinePlot, LoopResults

REPORT_DATA = "report.json"
RESULTS = "results.json"
_VERSION = 1
_NUMBERS = ("title", "is_complete", "rows", "tables", "gates")

_T = TypeVar("_T")


def write_results(results: LoopResults, path: Path) -> None:
    """Writes `results.json`: the numbers only, so that equal runs write equal files whenever and wherever they ran."""
    value = to_json(results)
    write_json(path, {"version": _VERSION} | {name: value[name] for name in _NUMBERS})


def save_report(results: LoopResults, path: Path) -> None:
    """Writes everything, for `lit-align report` to render later."""
    write_json(path, {"version": _VERSION, "results": to_json(results)})


def load_report(path: Path) -> LoopResults:
    """Reads what `save_report` wrote.

    Raises:
        ConfigError: The file is damaged, or of another version.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if content["version"] != _VERSION:
            raise ConfigError(f"{path} has version {content['version']}, this program reads version {_VERSION}")
        return from_json(LoopResults, content["results"])
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ConfigError(f"{path} cannot be read: {error}\nRun the recipe again to write it anew.") from error


def to_json(value: Any) -> Any:  # any of the classes above
    """The JSON form of results; a dataclass also names its class where its field takes several. NaN is null."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        members = {f.name: to_json(getattr(value, f.name)) for f in dataclasses.fields(value)}
        return {"plot": type(value).__name__, **members} if isinstance(value, DotPlot | LinePlot) else members
    if isinstance(value, Mapping):
        return {str(key): to_json(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [to_json(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value if value is None or isinstance(value, bool | int | float | str) else str(value)


def from_json(kind: type[_T], value: Any) -> _T:
    """The value of a class above from its JSON form."""
    return _decode(kind, value)


def _decode(kind: Any, value: Any) -> Any:
    origin, arguments = get_origin(kind), get_args(kind)
    if origin in (Union, types.UnionType):
        if value is None and types.NoneType not in arguments:
            return math.nan
        return _decode(_member(arguments, value), value)
    if origin is tuple:
        return tuple(_decode(arguments[0], item) for item in value)
    if origin is Mapping:
        return {key: _decode(arguments[1], item) for key, item in value.items()}
    if isinstance(kind, type) and dataclasses.is_dataclass(kind):
        hints = get_type_hints(kind)
        return kind(**{name: _decode(hints[name], item) for name, item in value.items() if name != "plot"})
    return value


def _member(kinds: tuple[Any, ...], value: Any) -> Any:
    """The member of a union that a JSON value was made from."""
    if value is None:
        return types.NoneType
    if isinstance(value, dict):
        classes = {kind.__name__: kind for kind in kinds if isinstance(kind, type) and dataclasses.is_dataclass(kind)}
        return classes[value.get("plot", next(iter(classes)))]
    return next(kind for kind in kinds if kind is not types.NoneType and not dataclasses.is_dataclass(kind))
