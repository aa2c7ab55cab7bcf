"""Models from elsewhere in a real node: five formats, five routes, one series through a socket."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from pydicom import dcmread

from dicom_ai_node.domain.job import Stage
from dicom_ai_node.infer.trust import make_key, sign
from tests import phantoms
from tests.foreign_folders import FORMATS, adopted, threshold_file
from tests.journey.node import Node, running, storescu

ROUTE = """\
  - name: {0}
    when: {{Modality: CT}}
    run: segment
    model: bright_{0}
    write: [segmentation]
    to: [results]
"""


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    """Start a node that trusts one model by its digest and another by its signature."""
    folder = tmp_path_factory.mktemp("foreign")
    facts = {
        name: adopted(threshold_file(name, folder / name), folder / "models", f"bright_{name}")
        for name in FORMATS
    }
    public = make_key(folder / "key")
    sign(facts["torch_export"].folder, folder / "key")
    infer = (
        f", models: [{folder / 'models'}], trust: [{facts['torchscript'].digest}]"
        f", trust_keys: [{public}]"
    )
    routes = "".join(ROUTE.format(name) for name in FORMATS)
    results = f"  results: {{folder: {folder / 'results'}}}\n"
    with running(Node(folder, routes, results, infer=infer)) as node:
        yield node


@pytest.mark.peer
@pytest.mark.timeout(600)  # five exports, and a node that proves five models
def test_every_format_runs_in_a_route(node: Node, tmp_path: Path) -> None:
    """Each finds the ball of the phantom, voxel for voxel."""
    paths = phantoms.write(phantoms.ct(), tmp_path)
    assert storescu(node.port, paths).returncode == 0
    jobs = {job.route: job for job in node.ended(len(FORMATS))}
    assert {name: (job.stage, job.note) for name, job in jobs.items()} == dict.fromkeys(
        FORMATS, (Stage.DELIVERED, "")
    )
    ball = phantoms.ct_values(12, 64, 48) == 120
    slices = ball[ball.any(axis=(1, 2))]
    results = [dcmread(path) for path in (node.folder / "results").rglob("*.dcm")]
    assert len(results) == len(FORMATS)
    for found in results:
        assert np.array_equal(found.pixel_array > 0, slices), found.SeriesDescription
