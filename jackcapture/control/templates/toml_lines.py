"""On which line of a TOML document a key stands, which tomllib does not tell.

tomllib alone says what a document means; this is for errors about documents that it has accepted. All blocks.
"""

import tomllib
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tree_sitter import Node

KeyPath = tuple[str | int, ...]
"""Keys of tables, and indices in arrays from 0, from the document down."""

_MAX_DEPTH = 16  # no key that we know lies deeper; also bounds the work on a document made to be slow


def key_lines(document: bytes) -> dict[KeyPath, int]:
    """Give the line, from 1, of every table, array item and key that is written in a document."""
    import tree_sitter_toml  # noqa: PLC0415 - only errors need it
    from tree_sitter import Language, Parser  # noqa: PLC0415

    root = Parser(Language(tree_sitter_toml.language())).parse(document).root_node
    found: dict[KeyPath, int] = {}
    newest: dict[KeyPath, int] = {}  # by array of tables: the index of the table that came last
    for path, node in _document(root, newest):
        found.setdefault(path, node.start_point[0] + 1)
    return found


def line_of(path: KeyPath, lines: Mapping[KeyPath, int]) -> int:
    """Give the line of a key, or that of the table that it would be in if it is not written; 1 if that is neither."""
    for length in range(len(path), 0, -1):
        place = path[:length]
        if place in lines:
            return lines[place]
        # A table may be written by its keys alone, as in `transport.follow = true`.
        within = [line for known, line in lines.items() if known[:length] == place]
        if within:
            return min(within)
    return 1


def _document(root: "Node", newest: dict[KeyPath, int]) -> Iterator[tuple[KeyPath, "Node"]]:
    for node in root.named_children:
        match node.type:
            case "pair":
                yield from _pair((), node)
            case "table" | "table_array_element":
                header = _keys(node.named_children[0])
                if len(header) > _MAX_DEPTH:
                    continue
                place = _resolved(header, newest, is_new=node.type == "table_array_element")
                yield place, node
                for child in node.named_children[1:]:
                    if child.type == "pair":
                        yield from _pair(place, child)


def _resolved(header: tuple[str, ...], newest: dict[KeyPath, int], *, is_new: bool) -> KeyPath:
    """Give the place of a table: what is below an array of tables lies in its newest one."""
    place: KeyPath = ()
    for number, key in enumerate(header, 1):
        place = (*place, key)
        if is_new and number == len(header):
            newest[place] = newest.get(place, -1) + 1
        if place in newest:
            place = (*place, newest[place])
    return place


def _pair(table: KeyPath, pair: "Node") -> Iterator[tuple[KeyPath, "Node"]]:
    key, value = pair.named_children[0], pair.named_children[-1]
    place = (*table, *_keys(key))
    if len(place) <= _MAX_DEPTH:
        yield place, key
        yield from _value(place, value)


def _value(place: KeyPath, value: "Node") -> Iterator[tuple[KeyPath, "Node"]]:
    if value.type == "inline_table":
        for pair in value.named_children:
            if pair.type == "pair":
                yield from _pair(place, pair)
    elif value.type == "array" and len(place) < _MAX_DEPTH:
        items = (item for item in value.named_children if item.type != "comment")
        for index, item in enumerate(items):
            yield (*place, index), item
            yield from _value((*place, index), item)


def _keys(node: "Node") -> tuple[str, ...]:
    """Give the parts of a key, bare, quoted or dotted; tomllib knows the escapes."""
    assert node.text is not None
    table: Any = tomllib.loads(f"{node.text.decode()} = 0")
    keys: list[str] = []
    while isinstance(table, dict):
        (key,) = table
        keys.append(key)
        table = table[key]
    return tuple(keys)
