"""Nothing that we install with the product is under the GPL or the AGPL."""

import re
from collections.abc import Iterator
from importlib.metadata import Distribution, PackageNotFoundError, distribution

from packaging.requirements import Requirement

LESSER = re.compile(r"LGPL|Lesser", re.IGNORECASE)
STRONG = re.compile(r"\bA?GPL|Affero|GNU General Public", re.IGNORECASE)


def _closure(name: str, seen: set[str]) -> Iterator[Distribution]:
    key = re.sub(r"[-_.]+", "-", name).lower()
    if key in seen:
        return
    seen.add(key)
    try:
        found = distribution(name)
    except PackageNotFoundError:
        return  # a requirement of another platform
    yield found
    for text in found.requires or ():
        requirement = Requirement(text)
        if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
            yield from _closure(requirement.name, seen)


def _licence(found: Distribution) -> str:
    """Return what a distribution says of its licence: the expression, else classifiers, else text."""
    meta = found.metadata
    if expression := meta.get("License-Expression"):
        return expression
    classifiers = [c for c in meta.get_all("Classifier") or () if c.startswith("License")]
    return "; ".join(classifiers) or (meta.get("License") or "").split("\n")[0]


def test_the_product_needs_nothing_under_a_strong_copyleft() -> None:
    """A hospital may ship, change and host the node without any duty beyond attribution."""
    licences = {f.metadata["Name"]: _licence(f) for f in _closure("dicom-ai-node", set())}
    assert len(licences) > 25
    strong = {
        name: text for name, text in licences.items()
        if any(STRONG.search(part) and not LESSER.search(part) for part in re.split(r" OR |;", text))
        and not re.search(r"\b(MIT|BSD|Apache)\b", text)
    }  # fmt: skip
    assert not strong
    assert not [name for name, text in licences.items() if not text]
    assert "pylibjpeg-libjpeg" not in {name.lower() for name in licences}
