"""Items: the JSON rows that synthesis passes on from step to step.

The columns are

    id          20 hexadecimal digits of the sha256 of kind and content, and of the item that a text was made of.
    kind        What it is: `topic`, `keyword`, `question`, `prompt`, `dialogue`, ...
    text        Its content, or
    prompt      the same as messages that a model is to answer, or
    messages    a conversation.
    meta        What is known of it: the texts of its ancestors by kind, `task`, `doc_id`, `instruction_id_list`, ...
    parents     The ids of the items it was made of.
    tags        What its prompt asks for, where that was told.
    template    The id of the template that asked for it, where one did.
    generators  The names of the models that wrote any of it.
    source      `dataset` and `licence`, where it comes from outside.
"""

import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from lit_align.files import sha256_of_json

Item = dict[str, Any]
CONTENTS = ("text", "prompt", "messages")
DOC_ID = "doc_id"
"""What `meta` calls the id of the document or passage that an item is about."""
REQUEST = "request"
"""What `meta` calls what a prompt asks of the document that it holds."""
UNSAFE = "unsafe"
"""What `meta` calls whether a prompt's conversation was flagged as unsafe."""


def make_item(
    kind: str,
    *,
    meta: Mapping[str, Any] | None = None,
    parents: Sequence[str] = (),
    template: str | None = None,
    generators: Sequence[str] = (),
    source: Mapping[str, Any] | None = None,
    tags: Sequence[str] | None = None,
    within: str | None = None,
    **content: Any,
) -> Item:
    """An item; `content` is its `text`, `prompt` or `messages`. Two that are equal but `within` others differ in id.

    >>> make_item("topic", text="Rain")["id"]
    'eb60fa9ebf7b39d76917'
    """
    (name,) = content
    if name not in CONTENTS:
        raise ValueError(f"the content of an item must be one of {', '.join(CONTENTS)}, got {name}")
    told_by = [kind, content[name], *([] if within is None else [within])]
    row: Item = {"id": sha256_of_json(told_by)[:20], "kind": kind, **content}
    row |= {"meta": dict(meta or {}), "parents": list(parents)}
    row |= {} if tags is None else {"tags": list(tags)}
    row |= {} if template is None else {"template": template}
    row |= {"generators": sorted(set(generators))} if generators else {}
    return row | ({} if source is None else {"source": dict(source)})


def child(item: Item, kind: str, *, template: str | None = None, generator: str | None = None, **content: Any) -> Item:
    """An item made of another, whose text it keeps in `meta` under its kind; equal children of two items are two."""
    meta = {**item["meta"], item["kind"]: item["text"]} if "text" in item else item["meta"]
    origin = origin_of(item, generator=generator)
    parent = item["id"]
    return make_item(kind, meta=meta, parents=[parent], template=template, within=parent, **origin, **content)


def origin_of(item: Item, *, generator: str | None = None) -> dict[str, Any]:
    """The models, the source and the tags of an item, for one that is made of it, by a further model or none."""
    generators = [*item.get("generators", ()), *([] if generator is None else [generator])]
    return {"generators": generators, "source": item.get("source"), "tags": item.get("tags")}


def joined_source(items: Iterable[Item]) -> dict[str, Any] | None:
    """Where several items come from: their one source, or the data sets and licences of all of them as lists.

    >>> joined_source([{"source": {"dataset": "a", "licence": "MIT"}}, {}, {"source": {"dataset": "b"}}])
    {'dataset': ['a', 'b'], 'licence': ['MIT']}
    """
    sources = [item["source"] for item in items if item.get("source")]
    if all(source == sources[0] for source in sources):
        return dict(sources[0]) if sources else None
    joined: dict[str, dict[str, None]] = {}
    for source in sources:
        for key, value in source.items():
            joined.setdefault(key, {}).update(dict.fromkeys(value if isinstance(value, list) else [value]))
    return {key: list(values) for key, values in joined.items()}


def messages_of(item: Item) -> list[dict[str, str]]:
    """An item as messages; a text is what the user says."""
    if "text" in item:
        return [{"role": "user", "content": item["text"]}]
    return list(item["messages"] if "messages" in item else item["prompt"])


def text_key(text: str) -> str:
    """A text without differences of case, white space, Unicode form and closing punctuation.

    >>> text_key(" Linear  algebra. ") == text_key("linear algebra")
    True
    """
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split()).rstrip(".:;,")


def content_key(item: Item) -> str:
    """What items with the same content share, up to case and white space."""
    return text_key("\n".join(message["content"] for message in messages_of(item)))


def rank(seed: int, *names: str) -> float:
    """A number in [0, 1) that depends on the seed and the names alone.

    >>> rank(0, "a") == rank(0, "a") != rank(1, "a")
    True
    """
    return int(sha256_of_json([seed, *names])[:13], 16) / 16**13


def children_of(items: Iterable[Item]) -> dict[str, list[Item]]:
    """The items by the id of each of their parents."""
    found: dict[str, list[Item]] = {}
    for item in items:
        for parent in item["parents"]:
            found.setdefault(parent, []).append(item)
    return found
