"""The example that we ship works as it stands."""

import re
from pathlib import Path

import pytest

from dicom_ai_node.config import destinations, load, routes
from dicom_ai_node.domain.destination import FolderPeer
from dicom_ai_node.receive.header import instance_of
from dicom_ai_node.route.explain import explain
from tests import phantoms
from tests.series import model, series

EXAMPLE = Path(__file__).parents[2] / "ae_config.yaml"
BUNDLES = EXAMPLE.parent / "dicom_ai_node" / "bundles"
MODELS = {
    "hippocampus_mr": "MR", "ct_tissue": "CT", "lung_fields_cxr": "DX", "fetal_head_us": "US",
}  # fmt: skip
KNOWN = {
    "models": MODELS.keys(),
    "outputs": {"segmentation", "structured_report", "secondary_capture"},
    "kinds": {"segment"},
}


def test_the_example_is_right() -> None:
    """One route per model that we ship, all to one folder."""
    config = load(EXAMPLE, **KNOWN)
    assert {route.model for route in routes(config)} == set(MODELS)
    assert destinations(config) == {"results": FolderPeer(folder=EXAMPLE.parent / "results")}


def test_what_is_commented_out_is_right_too(tmp_path: Path) -> None:
    """Whoever removes the comment signs gets a PACS and an archive, an index and a window."""
    there = EXAMPLE.read_text()
    content = re.sub(r"^( *)# (pacs|archive|similar|serve):", r"\1\2:", there, flags=re.MULTILINE)
    path = tmp_path / "ae_config.yaml"
    path.write_text(content)
    found = load(path, **KNOWN | {"models": {*MODELS, "image_encoder"}})
    assert found.destinations.keys() == {"results", "pacs", "archive"}
    assert found.similar is not None
    assert found.serve is not None


@pytest.mark.parametrize(
    ("make", "route"),
    [
        pytest.param(lambda: phantoms.ct(slices=12), "ct_tissue", id="a CT"),
        pytest.param(lambda: phantoms.mr(slices=24), "hippocampus", id="an MR"),
        pytest.param(phantoms.dx, "chest_x_ray", id="a chest X-ray"),
        pytest.param(phantoms.us, "fetal_head", id="an ultrasound image"),
        pytest.param(phantoms.pet, None, id="a PET is for nobody"),
        pytest.param(
            lambda: phantoms.mr(slices=24, SeriesDescription="T2 FLAIR"), None, id="a FLAIR"
        ),
        pytest.param(
            lambda: phantoms.ct(ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"]), None, id="a scout"
        ),
    ],
)
def test_series_go_where_the_example_says(tmp_path: Path, make: object, route: str | None) -> None:
    """Read by the real receiver, decided by the real router."""
    files = phantoms.write(make(), tmp_path)  # type: ignore[operator]
    models = {name: model(name, modality) for name, modality in MODELS.items()}
    (found,) = explain(
        [series([instance_of(path) for path in files])], routes(load(EXAMPLE, **KNOWN)), models
    )
    assert found.taken_by == ((route,) if route else ())
    assert all(found.refusals.values())
