"""YAML with the line of every key and item, so that a mistake can be named with its place."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

Location: TypeAlias = tuple[str | int, ...]
"""Keys and list indices from the top of the file."""

_PLAIN = frozenset({"int", "float", "bool", "null"})
_UNDERSTOOD = _PLAIN | {"map", "seq", "str", "timestamp", "merge", "value"}
_TAG = "tag:yaml.org,2002:"


@dataclass(frozen=True, slots=True, order=True)
class Mistake:
    """One thing that is wrong: in which line (from 1), where, and what."""

    line: int
    where: str
    what: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Tree:
    """What a YAML file says.

    Attributes
    ----------
    data
        Mappings as `dict`, sequences as `list`; numbers, booleans and null as such, everything
        else, dates too, as text.
    lines
        The line of every key and of every item, from 1.
    mistakes
        What is wrong with it as YAML.
    """

    data: Any
    lines: Mapping[Location, int]
    mistakes: tuple[Mistake, ...] = ()

    @property
    def is_readable(self) -> bool:
        """Whether anything could be read, with or without mistakes."""
        return bool(self.lines) or not self.mistakes

    def known(self, location: Location) -> Location:
        """Return the part of `location` that is in the file."""
        path: Location = ()
        for part in location:
            if (*path, part) in self.lines:
                path = (*path, part)
        return path

    def mistake(self, location: Location, what: str) -> Mistake:
        """Return a mistake at the line of the innermost part of `location` that is there."""
        path = self.known(location)
        missing = location[-1:] if what == "is missing" else ()
        return Mistake(self.lines.get(path, 1), self.name((*path, *missing)), what)

    def name(self, path: Location) -> str:
        """Return a path as people write it: a route by its name, any other item by its number."""
        said = ""
        for depth, part in enumerate(path):
            if isinstance(part, str):
                said += f".{part}" if said else part
                continue
            named = self.at((*path[: depth + 1], "name"))
            said += f".{named}" if isinstance(named, str) else f" #{part + 1}"
        return said

    def at(self, path: Location) -> Any:  # noqa: ANN401 - anything can stand in a YAML file
        """Return what is at `path`, or `None` if nothing is."""
        here = self.data
        for part in path:
            match here, part:
                case dict(), str():
                    here = here.get(part)
                case list(), int() if part < len(here):
                    here = here[part]
                case _:
                    return None
        return here


def parse(text: str) -> Tree:
    """Read YAML 1.2; whatever is wrong with it is in `mistakes`."""
    yaml = YAML(typ="safe", pure=True)
    try:
        node = yaml.compose(text)
    except MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        said = " ".join(filter(None, (error.context, error.problem)))
        if error.context_mark and error.context_mark.line + 1 < line:
            said += f" (begun in line {error.context_mark.line + 1})"
        return Tree(data={}, lines={}, mistakes=(Mistake(line, "YAML", said),))
    except YAMLError:
        mistake = Mistake(1, "YAML", "there is a character that no text file may hold")
        return Tree(data={}, lines={}, mistakes=(mistake,))
    if not isinstance(node, MappingNode):
        mistake = Mistake(1, "YAML", "must hold sections such as `receive:`, and holds none")
        return Tree(data={}, lines={}, mistakes=(mistake,))
    builder = _Builder(yaml)
    tree = Tree(data=builder.build(node, (), ()), lines=builder.lines)
    mistakes = tuple(Mistake(line, tree.name(at), what) for line, at, what in builder.mistakes)
    return replace(tree, mistakes=mistakes)


@dataclass(slots=True)
class _Builder:
    yaml: YAML
    lines: dict[Location, int] = field(default_factory=dict)
    mistakes: list[tuple[int, Location, str]] = field(default_factory=list)

    def build(self, node: Node, path: Location, above: tuple[int, ...]) -> Any:  # noqa: ANN401
        if id(node) in above:
            self._mistake(node, path, "an alias must not contain itself")
            return None
        if str(node.tag).removeprefix(_TAG) not in _UNDERSTOOD:
            self._mistake(node, path, "tags that begin with ! have no meaning here")
            return None
        inside = (*above, id(node))
        match node:
            case MappingNode():
                return {
                    key: self.build(n, (*path, key), inside) for key, n in self._items(node, path)
                }
            case SequenceNode():
                items = []
                for index, item in enumerate(node.value):
                    self.lines[(*path, index)] = item.start_mark.line + 1
                    items.append(self.build(item, (*path, index), inside))
                return items
            case _:
                return self._scalar(node, path)

    def _items(self, node: MappingNode, path: Location) -> Iterator[tuple[str, Node]]:
        for key, value in node.value:
            name = str(key.value) if isinstance(key, ScalarNode) else ""
            if not name:
                self._mistake(key, path, "a key must be a word")
            elif (*path, name) in self.lines:
                self._mistake(
                    key, (*path, name), f"is here already, in line {self.lines[*path, name]}"
                )
            else:
                self.lines[(*path, name)] = key.start_mark.line + 1
                yield name, value

    def _scalar(self, node: Node, path: Location) -> Any:  # noqa: ANN401
        if str(node.tag).removeprefix(_TAG) not in _PLAIN:
            return node.value
        try:
            return self.yaml.constructor.construct_object(node)
        except (ValueError, LookupError, YAMLError):  # only an explicit tag can lie
            self._mistake(node, path, f"is not what {node.tag} says")
            return None

    def _mistake(self, node: Node, path: Location, what: str) -> None:
        self.mistakes.append((node.start_mark.line + 1, path, what))
