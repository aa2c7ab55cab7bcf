"""Read `ae_config.yaml`, and name every mistake with its line."""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel, Tag, ValidationError
from pydantic_core import ErrorDetails

from dicom_ai_node.config import cross
from dicom_ai_node.config.node import NodeConfig
from dicom_ai_node.config.secret import secrets_in
from dicom_ai_node.config.tree import Mistake, Tree, parse
from dicom_ai_node.config.values import Known
from dicom_ai_node.config.words import did_you_mean
from dicom_ai_node.domain.errors import ConfigError

LARGEST_BYTES = 1_000_000
LONGEST_SHOWN = 40
_BRACKETS = frozenset("([<")

_SAID = {
    "missing": "is missing",
    "string_type": "must be text; put it in quotes",
    "int_type": "must be a whole number",
    "int_parsing": "must be a whole number",
    "int_from_float": "must be a whole number",
    "float_type": "must be a number",
    "float_parsing": "must be a number",
    "finite_number": "must be a number",
    "bool_type": "must be true or false",
    "bool_parsing": "must be true or false",
    "tuple_type": "must be a list",
    "dict_type": "must hold keys and values",
    "model_type": "must hold keys and values",
    "model_attributes_type": "must hold keys and values",
    "path_type": "must be a path",
    "too_short": "must not be empty",
    "string_too_short": "must not be empty",
    "greater_than": "must be more than {gt:g}",
    "greater_than_equal": "must be at least {ge:g}",
    "less_than": "must be less than {lt:g}",
    "less_than_equal": "must be at most {le:g}",
    "string_pattern_mismatch": "must begin with sqlite:// or postgresql+psycopg://",
}
_SHOWN = frozenset({
    "int_parsing", "int_from_float", "float_parsing", "bool_parsing", "greater_than",
    "greater_than_equal", "less_than", "less_than_equal",
})  # fmt: skip


def load(
    path: Path, *, models: Collection[str], outputs: Collection[str], kinds: Collection[str]
) -> NodeConfig:
    """Read and check the file at `path`.

    Parameters
    ----------
    path
        Relative paths in the file begin at its folder.
    models, outputs, kinds
        What `model`, `write` and `run` of a route may name.

    Raises
    ------
    ConfigError
        With one line per mistake: `ae_config.yaml:LINE: where: what; did you mean X?`.
    """
    tree = parse(_text(path))
    known = Known(
        models=models,
        outputs=outputs,
        kinds=kinds,
        destinations=_keys(tree.data.get("destinations")),
        folder=path.resolve().parent,
        route_names=_route_names(tree),
    )
    found = set(tree.mistakes)
    if not tree.is_readable:
        raise _error(path, found)
    found |= {tree.mistake(where, what) for where, what in cross.mistakes(tree.data)}
    try:
        config = NodeConfig.model_validate(tree.data, context=known)
    except ValidationError as error:
        found |= _mistakes(tree, error.errors(include_url=False))
        raise _error(path, found) from error
    if found:
        raise _error(path, found)
    for where, secret in secrets_in(config):
        here = tree.mistake(where, "")
        secret.stands_at(f"{path.name}:{here.line}: {here.where}")
    return config


def model_folders(path: Path) -> tuple[Path, ...]:
    """Return `infer.models` of the file at `path`, so that the models can be listed for `load`.

    Says nothing about mistakes: `load` will.
    """
    said = parse(_text(path)).at(("infer", "models"))
    folder = path.resolve().parent
    return tuple(
        folder / Path(one).expanduser()
        for one in (said if isinstance(said, list) else [])
        if isinstance(one, str)
    )


def store_folder(path: Path) -> Path | None:
    """Return `store.folder` of the file at `path`, as far as it can be read; else `None`."""
    try:
        said = parse(_text(path)).at(("store", "folder"))
    except ConfigError:
        return None
    return path.resolve().parent / Path(said).expanduser() if isinstance(said, str) else None


def _text(path: Path) -> str:
    try:
        with path.open("rb") as file:
            content = file.read(LARGEST_BYTES + 1)
        if len(content) > LARGEST_BYTES:
            raise ConfigError(f"{path.name}: the file is larger than {LARGEST_BYTES} bytes")
        return content.decode()
    except OSError as error:
        raise ConfigError(f"{path}: the file cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise ConfigError(f"{path.name}:{line}: the file must be UTF-8") from error


def _error(path: Path, found: Iterable[Mistake]) -> ConfigError:
    lines = (f"{path.name}:{one.line}: {one.where}: {one.what}" for one in sorted(found))
    return ConfigError("\n".join(lines))


def _mistakes(tree: Tree, errors: Iterable[ErrorDetails]) -> set[Mistake]:
    found = set()
    for error in errors:
        if error["type"] == "too_short" and error["input"]:
            continue  # it has items, but they are wrong, which is said elsewhere
        # Tags of unions stand in brackets; they are our names for alternatives, not keys.
        path = tuple(p for p in error["loc"] if not (isinstance(p, str) and p[:1] in _BRACKETS))
        found.add(tree.mistake(path, _sentence(error)))
    return found


def _sentence(error: ErrorDetails) -> str:
    kind, said, context = error["type"], error["input"], error.get("ctx", {})
    if kind == "value_error":
        return str(context["error"])
    if kind == "extra_forbidden":
        return f"is not known here{did_you_mean(str(error['loc'][-1]), _siblings(error['loc']))}"
    if kind == "literal_error":
        return f"must be {context['expected']}, not {said!r}"
    if said is None and kind != "missing":
        return "is empty"
    if kind not in _SAID:
        return error["msg"]
    sentence = _SAID[kind].format_map(context)
    is_short = isinstance(said, str | int | float) and len(str(said)) <= LONGEST_SHOWN
    return f"{sentence}, not {said}" if kind in _SHOWN and is_short else sentence


def _siblings(location: Sequence[str | int]) -> list[str]:
    """Return the keys that are known where the last part of `location` is not."""
    here: list[Any] = [NodeConfig]
    for part in location[:-1]:
        here = [inner for kind in here for inner in _inside(kind, part)]
    models = [one for kind in here for _, one in _alternatives(kind) if _is_model(one)]
    return [f.alias or name for model in models for name, f in model.model_fields.items()]


def _inside(kind: Any, part: str | int) -> list[Any]:  # noqa: ANN401 - a type annotation
    """Return the types that the value at `part` of a value of type `kind` may have."""
    found = []
    for tag, one in _alternatives(kind):
        if tag == part:
            return [one]
        if _is_model(one):
            fields = one.model_fields.items()
            found += [f.annotation for name, f in fields if (f.alias or name) == part]
        elif get_origin(one) in {dict, tuple}:
            found.append(get_args(one)[1 if get_origin(one) is dict else 0])
    return found


def _alternatives(kind: Any, tag: str = "") -> list[tuple[str, Any]]:  # noqa: ANN401
    """Return the plain types that `kind` stands for, each with its tag if it has one."""
    if get_origin(kind) is Annotated:
        inner, *notes = get_args(kind)
        tags = [note.tag for note in notes if isinstance(note, Tag)]
        return _alternatives(inner, *tags)
    if get_origin(kind) in {Union, UnionType}:
        return [one for member in get_args(kind) for one in _alternatives(member)]
    return [(tag, kind)]


def _is_model(kind: Any) -> bool:  # noqa: ANN401
    return isinstance(kind, type) and issubclass(kind, BaseModel)


def _keys(said: object) -> list[str]:
    return list(said) if isinstance(said, dict) else []


def _route_names(tree: Tree) -> Mapping[str, int]:
    said = tree.data.get("routes")
    routes = said if isinstance(said, list) else []
    names = (route.get("name") for route in routes if isinstance(route, dict))
    return Counter(name for name in names if isinstance(name, str))
