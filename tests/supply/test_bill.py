"""The bill of material is one that every tool can read, and it names the models, too."""

import json
from importlib.resources import files
from pathlib import Path

import jsonschema_rs
from typer.testing import CliRunner

from deploy.supply.__main__ import MODELS, PRODUCT, app
from deploy.supply.closure import closure
from deploy.supply.policy import policy

SCHEMAS = files("cyclonedx.schema") / "_res"

URL = "http://cyclonedx.org/schema/{}.SNAPSHOT.schema.json"


def _schema(name: str) -> dict[str, object]:
    found: dict[str, object] = json.loads((SCHEMAS / f"{name}.SNAPSHOT.schema.json").read_text())
    return found


def test_the_bill_is_valid_and_complete(tmp_path: Path) -> None:
    """CycloneDX 1.6: every package of the closure, who requires whom, every model with its digest."""
    ours, again = tmp_path / "dist/sbom.json", tmp_path / "again.json"
    for path in (ours, again):
        done = CliRunner().invoke(app, ["bill", str(path)])
        assert done.exit_code == 0, done.output
    assert ours.read_bytes() == again.read_bytes()
    bill = json.loads(ours.read_text())
    parts_of_it = [(URL.format(name), _schema(name)) for name in ("spdx", "jsf-0.82")]
    known = jsonschema_rs.Registry(parts_of_it)
    errors = jsonschema_rs.validator_for(_schema("bom-1.6"), registry=known).iter_errors(bill)
    assert not [f"{one.instance_path}: {one.message}" for one in errors]
    parts = closure(PRODUCT, policy().extras)
    libraries = {one["name"] for one in bill["components"] if one["type"] == "library"}
    assert libraries == parts.keys() - {PRODUCT}
    models = {
        one["name"]: one["hashes"][0]["content"]
        for one in bill["components"]
        if one["type"] == "machine-learning-model"
    }
    assert models.keys() == {path.parent.name for path in MODELS.glob("*/SHA256SUMS")}
    assert len(set(models.values())) == len(models) > 15
    refs = {one["bom-ref"] for one in bill["components"]} | {
        bill["metadata"]["component"]["bom-ref"]
    }
    assert {ref for one in bill["dependencies"] for ref in (one["ref"], *one["dependsOn"])} <= refs
