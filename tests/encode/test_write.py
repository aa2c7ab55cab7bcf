"""From findings to files."""

import os
import subprocess
import sys
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import pytest
from pydicom import dcmread

from dicom_ai_node.domain.errors import ConfigError
from dicom_ai_node.encode import OUTPUTS
from dicom_ai_node.encode.headers import unvalidated
from dicom_ai_node.encode.write import ENCODERS, encode_job, encoders_for, write_objects
from tests import phantoms
from tests.encode import scenes

ROOT = Path(__file__).parents[2]
AGAIN = """
import sys
from pathlib import Path
from dicom_ai_node.encode import OUTPUTS
from dicom_ai_node.encode.headers import unvalidated
from dicom_ai_node.encode.write import ENCODERS, encode_job, write_objects
from tests.encode import scenes

made = [scenes.scene(make()) for make in scenes.SOURCES.values()]
made += [scenes.classified(make()) for make in scenes.CLASSIFIED.values()]
made += [scenes.detected(make()) for make in scenes.DETECTED.values()]
for number, scene in enumerate(made):
    objects = encode_job(scene.findings, scene.origin, ENCODERS)
    write_objects(Path(sys.argv[1]) / str(number), objects)
"""


def _digests(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*.dcm"))
    }


def test_encoding_again_in_another_process_gives_the_same_bytes(tmp_path: Path) -> None:
    """A leg that is repeated after a crash makes a duplicate, not a second result."""
    runs = []
    for number in range(2):
        folder = tmp_path / str(number)
        environment = {**os.environ, "PYTHONHASHSEED": str(number), "PYTHONPATH": str(ROOT)}
        subprocess.run([sys.executable, "-c", AGAIN, folder], check=True, env=environment, cwd=ROOT)
        runs.append(_digests(folder))
    assert runs[0] == runs[1]
    least = 5 * len(scenes.SOURCES) + 2 * len(scenes.CLASSIFIED) + 3 * len(scenes.DETECTED)
    assert len(runs[0]) >= least


def test_what_a_report_refers_to_comes_before_it() -> None:
    """Whatever the order in which a route names them."""
    scene = scenes.scene(phantoms.ct())
    asked = encoders_for(["secondary_capture", "structured_report", "segmentation"])
    kinds = [kind for kind, _ in encode_job(scene.findings, scene.origin, asked)]
    assert kinds == ["segmentation", "secondary_capture", "structured_report"]


def test_an_unknown_kind_is_a_mistake_in_the_configuration() -> None:
    """And the message says what there is."""
    with pytest.raises(ConfigError, match=r"write: sculpture is none of segmentation, .*"):
        encoders_for(["segmentation", "sculpture"])


def test_files_are_named_in_the_order_in_which_they_are_sent(tmp_path: Path) -> None:
    """Complete Part 10 files that name themselves as their meta information does."""
    scene = scenes.scene(phantoms.ct())
    paths = write_objects(tmp_path, encode_job(scene.findings, scene.origin, ENCODERS))
    assert [path.name for path in paths] == [
        "001-segmentation.dcm",
        "002-segmentation_fractional.dcm",
        "003-segmentation_labelmap.dcm",
        "004-secondary_capture.dcm",
        "005-structured_report.dcm",
    ]
    for path in paths:
        dataset = dcmread(path)
        assert dataset.file_meta.MediaStorageSOPInstanceUID == dataset.SOPInstanceUID
        assert dataset.file_meta.MediaStorageSOPClassUID == dataset.SOPClassUID
        assert dataset.StudyInstanceUID == phantoms.STUDY_INSTANCE_UID
        assert dataset.PatientName == phantoms.CANARY


def test_no_two_objects_of_a_job_share_a_uid() -> None:
    """Neither instances nor, between kinds, series."""
    scene = scenes.scene(scenes.SOURCES["two CR"]())
    boxes = scenes.detected(scenes.SOURCES["two CR"]()).findings.detection
    derived = scenes.restored(scenes.SOURCES["two CR"]()).findings.derived
    findings = replace(scene.findings, detection=boxes, derived=derived)
    objects = encode_job(findings, scene.origin, ENCODERS)
    assert len({item.SOPInstanceUID for _, item in objects}) == len(objects)
    assert len({item.SeriesInstanceUID for _, item in objects}) == len(ENCODERS)


def test_odd_identifiers_of_a_source_are_referenced_as_they_are(tmp_path: Path) -> None:
    """A UID with a leading zero is wrong, and still the name of the image in the archive."""
    with unvalidated():
        scene = scenes.scene(phantoms.ct(slices=3, StudyInstanceUID="1.2.03"))
    paths = write_objects(tmp_path, encode_job(scene.findings, scene.origin, ENCODERS))
    with unvalidated():
        assert {str(dcmread(path).StudyInstanceUID) for path in paths} == {"1.2.03"}


def test_the_configuration_knows_every_encoder() -> None:
    """It checks `write` against a list, so as not to import them all."""
    assert tuple(ENCODERS) == OUTPUTS
