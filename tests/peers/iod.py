"""Our own check of attributes against the tables of PS3.3 that highdicom carries.

It knows label maps, which dciodvfy of 2022 does not. It looks for Type 1 and 2 attributes that are
absent, Type 1 attributes that are empty and attributes that no module of the IOD has; conditions
(1C, 2C) are left to dciodvfy, content trees to the SR validators.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache

from highdicom._standard_utils import (
    get_iod_module_map,
    get_module_attribute_map,
    get_sop_class_iod_map,
)
from pydicom.datadict import tag_for_keyword
from pydicom.dataset import Dataset

_STRICTEST = ("1", "2", "1C", "2C", "3")
_TREE = frozenset({
    "ValueType", "ConceptNameCodeSequence", "ContinuityOfContent", "ContentSequence",
    "ContentTemplateSequence",
})  # fmt: skip
"""The root of a document's content, which has validators of its own."""


@dataclass(slots=True)
class _Node:
    """One attribute of an IOD: its strictest type and what may be inside it."""

    type: str = "3"
    children: dict[str, "_Node"] = field(default_factory=dict)


def objections(dataset: Dataset) -> list[str]:
    """Return one sentence per attribute that PS3.3 does not allow to be as it is."""
    iod = get_sop_class_iod_map().get(str(dataset.SOPClassUID))
    if iod is None:
        return [f"SOP class {dataset.SOPClassUID} is not in PS3.3"]
    return list(_compare(dataset, _attributes(iod), ""))


@lru_cache(maxsize=16)
def _attributes(iod: str) -> Mapping[str, _Node]:
    root: dict[str, _Node] = {}
    for module in get_iod_module_map()[iod]:
        if module["key"] == "sr-document-content":
            continue
        for attribute in get_module_attribute_map().get(module["key"], []):
            if tag_for_keyword(attribute["keyword"]) is None:  # of a repeating group: overlays
                continue
            nodes = root
            for keyword in attribute["path"]:
                nodes = nodes.setdefault(keyword, _Node()).children
            kind = attribute["type"] or "3"
            if _is_optional(module, attribute["path"]):
                kind = kind if kind in {"1C", "2C"} else "3"
            node = nodes.setdefault(attribute["keyword"], _Node())
            node.type = min(node.type, kind, key=_STRICTEST.index)
    return root


def _is_optional(module: Mapping[str, str], path: list[str]) -> bool:
    """Modules that may be left out, and functional groups, of which one need not have all."""
    if module["usage"] != "M" and not path:
        return True
    groups = {"SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence"}
    return "functional" in module["key"] and len(path) == 1 and path[0] in groups


def _compare(dataset: Dataset, nodes: Mapping[str, _Node], where: str) -> Iterator[str]:
    for keyword, node in nodes.items():
        if node.type in {"1", "2"} and keyword not in dataset:
            yield f"Type {node.type} is missing: {where}{keyword}"
        elif node.type in {"1", "1C"} and keyword in dataset and dataset[keyword].is_empty:
            yield f"Type {node.type} is empty: {where}{keyword}"
    yield from _inside(dataset, nodes, where)


def _inside(dataset: Dataset, nodes: Mapping[str, _Node], where: str) -> Iterator[str]:
    for element in dataset:
        if element.tag.is_private or (not where and element.keyword in _TREE):
            continue
        if element.keyword not in nodes:
            yield f"not in this IOD: {where}{element.keyword or element.tag}"
        elif element.VR == "SQ":
            for item in element.value:
                inner = nodes[element.keyword].children
                yield from _compare(item, inner, f"{where}{element.keyword}.")
