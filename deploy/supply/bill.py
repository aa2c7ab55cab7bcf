"""The bill of material, CycloneDX 1.6: packages, who requires whom, and the models with digests."""

import hashlib
import json
from collections.abc import Iterator, Mapping
from importlib.metadata import Distribution
from pathlib import Path
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from deploy.supply.closure import Part
from deploy.supply.licences import first, licence, spdx

SUMS = "SHA256SUMS"


def bill(product: str, parts: Mapping[str, Part], models: Path) -> Mapping[str, Any]:
    """Return the bill of a product; the same parts give the same bill, byte for byte.

    Parameters
    ----------
    models
        The folder with the model folders that come with it.
    """
    own = parts[product]
    others = [part for name, part in sorted(parts.items()) if name != product]
    shipped = sorted(models.glob(f"*/{SUMS}"))
    found = [*map(_package, others), *(_model(path.parent, own.found) for path in shipped)]
    needs = [
        {"ref": _purl(part), "dependsOn": sorted(map(_purl, _needed(part, parts)))}
        for _, part in sorted(parts.items())
    ]
    return {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": uuid5(NAMESPACE_URL, json.dumps(found)).urn,
        "version": 1,
        "metadata": {"component": {**_package(own), "type": "application"}},
        "components": found,
        "dependencies": needs,
    }


def _needed(part: Part, parts: Mapping[str, Part]) -> Iterator[Part]:
    return (parts[name] for name in part.requires if name in parts)


def _purl(part: Part) -> str:
    return f"pkg:pypi/{part.name}@{part.version.replace('+', '%2B')}"


def _package(part: Part) -> dict[str, Any]:
    metadata = part.found.metadata
    return {
        "type": "library",
        "bom-ref": _purl(part),
        "name": part.name,
        "version": part.version,
        "description": first(metadata, "Summary"),
        "scope": "optional" if part.is_optional else "required",
        "licenses": _licences(licence(metadata)),
        "purl": _purl(part),
    }


def _licences(said: str) -> list[dict[str, Any]]:
    if not said:
        return []
    return [{"expression": said} if spdx(said) is not None else {"license": {"name": said}}]


def _model(folder: Path, own: Distribution) -> dict[str, Any]:
    """Return a model; its digest is that of the list of its files, as everywhere in the node."""
    about = json.loads((folder / "configs/metadata.json").read_text(encoding="utf-8"))
    version = str(about.get("version", own.version))
    return {
        "type": "machine-learning-model",
        "bom-ref": f"model:{folder.name}@{version}",
        "name": folder.name,
        "version": version,
        "description": str(about.get("task", "")),
        "copyright": str(about.get("copyright", "")),
        "hashes": [
            {"alg": "SHA-256", "content": hashlib.sha256((folder / SUMS).read_bytes()).hexdigest()}
        ],
    }
