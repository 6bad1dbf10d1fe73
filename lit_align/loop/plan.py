"""The static plan of a run: its stages in order, what each waits for, whether it is already built, and why not."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from lit_align.loop.stage import Artifact, Json, Stage, class_path, config
from lit_align.loop.store import Status, Store

_MAX_CHANGES = 3


@dataclass(frozen=True, kw_only=True, eq=False)
class Node:
    """A stage in its place in the plan.

    Args:
        number: Its place in the order of the program, from 1.
        title: Its name in the program.
        iteration: The loop's iteration it belongs to, if any.
        stage: What is run.
        artifact: What comes of it.
        waits_for: The stages that must be done first.
        num_devices: Processes of the stage; more than one goes through the launcher command.
    """

    number: int
    title: str
    iteration: int | None
    stage: Stage
    artifact: Artifact
    waits_for: tuple["Node", ...]
    num_devices: int = 1

    @property
    def label(self) -> str:
        """Title and iteration, as printed."""
        return label(self.title, self.iteration)


def label(title: str, iteration: int | None) -> str:
    """A stage's title with its iteration, if it has one."""
    return title if iteration is None else f"{title} (iteration {iteration})"


def describe_plan(nodes: Sequence[Node], *, store: Store, full: bool = False) -> str:
    """A line for every stage: place, title, folder, and `cached` or why it will run. Writes nothing.

    Args:
        nodes: The plan.
        store: Where the artifacts are looked for.
        full: Compare the hashes of cached files too, not their sizes only.
    """
    statuses = [store.status(node.artifact, full=full) for node in nodes]
    width = max((len(node.label) for node in nodes), default=0)
    lines, first = [], {}
    for node, status in zip(nodes, statuses, strict=True):
        twin = first.setdefault(node.artifact.fingerprint, node)
        state = "cached" if status.is_cached else f"will run: {why(node, status=status, store=store)}"
        state = state if twin is node or status.is_cached else f"same as [{twin.number}] {twin.label}"
        place = f"[{node.number:>{len(str(len(nodes)))}}/{len(nodes)}]"
        lines.append(f"{place} {node.label:<{width}}  {node.artifact.path.name}  {state}")
    missing = {node.artifact.fingerprint for node, s in zip(nodes, statuses, strict=True) if not s.is_cached}
    lines.append(f"{len(first) - len(missing)} cached, {len(missing)} to run; store: {store.root}")
    return "\n".join(lines)


def why(node: Node, *, status: Status, store: Store) -> str:
    """Why a stage is not cached: new, interrupted, damaged, or what has changed since its title was last built."""
    if status.state == "damaged":
        return f"damaged, {status.fault}"
    if status.state == "interrupted":
        return "continues after an interruption" if node.stage.resumable else "starts again after an interruption"
    before = _latest(node, store)
    if before is None:
        return "new"
    changes = list(_changes(before, node.stage))
    more = f", and {len(changes) - _MAX_CHANGES} more" if len(changes) > _MAX_CHANGES else ""
    return f"changed, {', '.join(changes[:_MAX_CHANGES])}{more}" if changes else "new"


def _latest(node: Node, store: Store) -> dict[str, Any] | None:
    wanted = (class_path(type(node.stage)), node.title, node.iteration)
    found = (m for _, m in store.manifests() if (m["stage"], m["title"], m["iteration"]) == wanted)
    return max(found, key=lambda manifest: manifest["timings"]["finished"], default=None)


def _changes(before: dict[str, Any], stage: Stage) -> Iterator[str]:
    if before["version"] != type(stage).version:
        yield f"version {before['version']} -> {type(stage).version}"
    old, new = dict(_leaves(before["config"])), dict(_leaves(config(stage)))
    for key in sorted(old.keys() | new.keys()):
        if old.get(key, _ABSENT) != new.get(key, _ABSENT):
            is_input = key.endswith(".$artifact")
            yield f"input {key.removesuffix('.$artifact')}" if is_input else _change(key, old, new)


_ABSENT = "nothing"


def _change(key: str, old: dict[str, Any], new: dict[str, Any]) -> str:
    return f"{key} {_short(old.get(key, _ABSENT))} -> {_short(new.get(key, _ABSENT))}"


def _short(value: object) -> str:
    text = str(value)
    return text if len(text) <= 40 else f"{text[:37]}..."


def _leaves(value: Json, name: str = "") -> Iterator[tuple[str, Json]]:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else None
    if not items:
        yield name, value
        return
    for key, item in items:
        yield from _leaves(item, f"{name}.{key}" if name else str(key))
