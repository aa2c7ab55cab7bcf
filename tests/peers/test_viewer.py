"""What a radiologist sees who opens a result of ours in OHIF, served by a real node.

The pictures go to the folder that `VIEWER_PICTURES` names, where it names one.
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pydicom import Dataset, dcmread
from pydicom.uid import Comprehensive3DSRStorage, SegmentationStorage

from dicom_ai_node.domain.job import Stage
from dicom_ai_node.samples.studies import SAMPLES
from tests.journey.node import ROOT, Node, running, storescu
from tests.peers.browser import Browser
from tests.peers.ohif import Ohif, is_quiet, tarball, tinted
from tests.peers.overlay import lies_right
from tests.peers.tools import find, free_port
from tests.peers.validators import LABEL_MAP_STORAGE

pytestmark = pytest.mark.timeout(900)

ROUTES = """\
  - name: hippocampus
    when: {Modality: MR}
    run: segment
    model: hippocampus_mr
    write: [segmentation, segmentation_labelmap, structured_report, secondary_capture]
    to: [results]
  - name: fetal-head
    when: {Modality: US}
    run: segment
    model: fetal_head_us
    write: [segmentation, structured_report, secondary_capture]
    to: [results]
  - name: lungs
    when: {Modality: CR}
    run: detect
    model: lung_box_cxr
    write: [structured_report]
    to: [results]
"""
SHOWN = ("mr-hippocampus", "us-cine", "cr-chest")
HELD = (*SHOWN, "sm-nuclei")
"""The slide waits for nobody: no route takes it."""


@dataclass(frozen=True)
class Ward:
    """A node with three studies and what it found in them."""

    url: str
    browser: Browser
    pictures: Path
    studies: Mapping[str, str]
    results: Sequence[Dataset]

    def result(self, sample: str, sop_class_uid: str) -> Dataset:
        """Return the result of one kind for one study."""
        study = self.studies[sample]
        (found,) = (
            each
            for each in self.results
            if study == each.StudyInstanceUID and sop_class_uid == each.SOPClassUID
        )
        return found

    def open(self, sample: str, series: str = "") -> Ohif:
        """Open a study in a new page."""
        return Ohif.opened(self.browser, self.url, self.studies[sample], series)


@pytest.fixture(scope="module")
def ward(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ward]:
    """Start a node, install the viewer while it runs, send the studies, wait for the results."""
    find("chromium")
    release = tarball()
    folder = tmp_path_factory.mktemp("viewer")
    port = free_port()
    node = Node(
        folder / "node",
        ROUTES,
        f"  results: {{folder: {folder / 'results'}}}\n",
        quiet_seconds=1,
        extra=f"serve: {{port: {port}, login: none}}\n",
    )
    studies = {}
    with running(node), Browser(folder) as browser:
        subprocess.run(
            [sys.executable, "-m", "dicom_ai_node", "viewer", "install",
             "--config", str(node.config), "--from", str(release)],
            cwd=ROOT, check=True, capture_output=True,
        )  # fmt: skip
        for sample in (each for each in SAMPLES if each.name in HELD):
            paths = []
            for number, dataset in enumerate(sample.make()):
                paths.append(folder / f"{sample.name}-{number}.dcm")
                dataset.save_as(paths[-1], enforce_file_format=True)
                studies[sample.name] = str(dataset.StudyInstanceUID)
            sent = storescu(node.port, paths)
            assert sent.returncode == 0, sent.stderr
        assert {job.stage for job in node.ended(len(SHOWN), 400)} == {Stage.DELIVERED}
        results = [dcmread(path) for path in sorted((folder / "results").rglob("*.dcm"))]
        pictures = Path(os.environ.get("VIEWER_PICTURES") or folder / "pictures")
        yield Ward(f"http://127.0.0.1:{port}", browser, pictures, studies, results)


def test_the_list_shows_the_studies_and_that_this_is_research(ward: Ward) -> None:
    """With the patients that the node holds, and nothing from elsewhere."""
    page = ward.browser.page(width=1280, height=800)
    page.open(f"{ward.url}/viewer/")
    page.wait("document.body.innerText.includes('HIPPOCAMPUS')", 60)
    assert "research use, not for diagnosis" in page.text()
    assert "for investigational use only" in page.text()
    page.rest(1)
    page.picture(ward.pictures / "list.png")
    assert is_quiet(page, ward.url) == {}
    page.close()


@pytest.mark.parametrize(
    "sop_class_uid",
    [
        pytest.param(SegmentationStorage, id="binary"),
        pytest.param(LABEL_MAP_STORAGE, id="label map"),
    ],
)
def test_a_segmentation_lies_on_the_right_pixels_of_the_right_slice(
    sop_class_uid: str, ward: Ward
) -> None:
    """In the colour that the model recommends; found by the link that names its series."""
    segmentation = ward.result("mr-hippocampus", sop_class_uid)
    viewer = ward.open("mr-hippocampus", segmentation.SeriesInstanceUID)
    viewer.wait_for_segments()
    lies_right(viewer, segmentation, ward.pictures / f"segmentation-{sop_class_uid[-1]}.png")
    assert is_quiet(viewer.page, ward.url) == {}
    viewer.page.close()


def test_volumes_of_a_report_are_read_with_their_names(ward: Ward) -> None:
    """A report without a place in an image is shown as text."""
    report = ward.result("mr-hippocampus", Comprehensive3DSRStorage)
    viewer = ward.open("mr-hippocampus")
    viewer.show("SR", report.SeriesDescription)
    viewer.page.wait("document.body.innerText.includes('Imaging Measurement Report')", 60)
    said = " ".join(viewer.page.text().split())
    viewer.page.rest(1)
    viewer.page.picture(ward.pictures / "report.png")
    measured = [
        item.MeasuredValueSequence[0].NumericValue
        for group in report.ContentSequence[-1].ContentSequence
        for item in group.ContentSequence
        if item.ValueType == "NUM" and item.ConceptNameCodeSequence[0].CodeMeaning == "Volume"
    ]
    assert len(measured) == 2
    for value in measured:
        assert f"Volume: {value} cm3" in said
    assert is_quiet(viewer.page, ward.url) == {}
    viewer.page.close()


def test_boxes_of_a_report_are_drawn_on_the_image(ward: Ward) -> None:
    """With their probability; a group of the report without a place does not hinder them."""
    report = ward.result("cr-chest", Comprehensive3DSRStorage)
    viewer = ward.open("cr-chest")
    viewer.show("SR", report.SeriesDescription)
    viewer.page.wait("document.body.innerText.match(/Probability: [0-9.]+ %/g)?.length == 2", 90)
    viewer.settle()
    viewer.page.picture(ward.pictures / "boxes.png")
    assert is_quiet(viewer.page, ward.url) == {}
    viewer.page.close()


def test_an_ultrasound_cine_plays_and_its_segmentationlies_right(ward: Ward) -> None:
    """Frames without a place in the patient are laid on the frames that they were made from."""
    segmentation = ward.result("us-cine", SegmentationStorage)
    viewer = ward.open("us-cine")
    viewer.page.wait("services.cineService.getState().isCineEnabled", 60)
    viewer.settle()
    viewer.page.js(
        "services.cineService.setCine({id: services.viewportGridService.getActiveViewportId(),"
        " isPlaying: true, frameRate: 5})"
    )
    seen = set()
    for _ in range(30):
        seen.add(viewer.frame_index())
        viewer.page.rest(0.3)
    assert len(seen) > 5
    viewer.page.js(
        "services.cineService.setCine({id: services.viewportGridService.getActiveViewportId(),"
        " isPlaying: false})"
    )
    viewer.show("SEG", segmentation.SeriesDescription)
    viewer.wait_for_segments()
    lies_right(viewer, segmentation, ward.pictures / "cine.png")
    assert is_quiet(viewer.page, ward.url) == {}
    viewer.page.close()


def test_a_slide_is_put_together_from_its_tiles(ward: Ward) -> None:
    """In the colours of the stain, by decoders that lie below our path."""
    page = ward.browser.page(width=1280, height=800)
    page.open(f"{ward.url}/viewer/microscopy?StudyInstanceUIDs={ward.studies['sm-nuclei']}")
    page.wait("document.querySelector('.ol-layer canvas, canvas')", 90)
    stain = (112, 60, 160)
    for _ in range(30):
        page.rest(2)
        shown = np.asarray(Image.open(page.picture(ward.pictures / "slide.png")).convert("RGB"))
        middle = shown[200:500, 450:700].astype(np.int64)
        if np.mean(tinted(middle, stain)) > 0.5:
            break
    else:
        pytest.fail("no tile has appeared")
    assert is_quiet(page, ward.url) == {}
    page.close()


def test_the_configuration_has_one_source_of_images(ward: Ward) -> None:
    """What OHIF has read is what the node says: no address in a link adds another source."""
    viewer = ward.open("cr-chest")
    viewer.page.open(
        f"{ward.url}/viewer/viewer/dicomjson?url=https://example.org/x.json"
        f"&StudyInstanceUIDs={ward.studies['cr-chest']}"
    )
    viewer.page.rest(3)
    assert viewer.page.strangers(ward.url) == []
    found = json.loads(
        viewer.page.js("JSON.stringify(window.config.dataSources.map(one => one.sourceName))")
    )
    assert found == ["node"]
    viewer.page.close()
