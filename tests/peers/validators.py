"""Validators by others, each run the way in which it can be believed, and what they complain about.

What is not judged, and only this: dciodvfy of 2022 does not know label maps; dcmqi cannot open a
segmentation that has no place in the patient (`NoGeometry`; a slide lies on glass) or whose slices do not stand in one
evenly spaced, upright stack (`NotUpright`), because it makes one volume of it.
"""

import os
import shutil
import subprocess
import sysconfig
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

import nibabel as nib
import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.uid import (
    ColorSoftcopyPresentationStateStorage,
    Comprehensive3DSRStorage,
    GrayscaleSoftcopyPresentationStateStorage,
    KeyObjectSelectionDocumentStorage,
    MicroscopyBulkSimpleAnnotationsStorage,
    ParametricMapStorage,
    RTStructureSetStorage,
    SegmentationStorage,
)

from tests.peers import air, iod
from tests.peers.tools import find, find_file

LABEL_MAP_STORAGE = "1.2.840.10008.5.1.4.1.1.66.7"
Judge: TypeAlias = Callable[[Path, Path], list[str] | None]
"""Returns what is wrong with a file, or nothing if it cannot tell; gets a folder for itself."""
SHEAR_MM = 0.01
_JAVA = (
    "-Xss16m", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Djdk.xml.xpathExprGrpLimit=0",
    "-Djdk.xml.xpathExprOpLimit=0", "-Djdk.xml.xpathTotalOpLimit=0",
)  # fmt: skip
"""The validator's stylesheet is larger than what JDK 17 lets through by default."""


@dataclass(frozen=True, slots=True)
class Complaint:
    """What one validator does not like about one file."""

    tool: str
    path: Path
    text: str


@dataclass(slots=True)
class Verdict:
    """Everything that was checked, and everything that was wrong."""

    checked: dict[Path, list[str]] = field(default_factory=dict)
    complaints: list[Complaint] = field(default_factory=list)

    def note(self, tool: str, path: Path, texts: Iterable[str] | None) -> None:
        """Remember that a tool has looked at a file and what it said; `None` if it cannot."""
        if texts is None:
            return
        self.checked.setdefault(path, []).append(tool)
        self.complaints.extend(Complaint(tool, path, text) for text in texts)


class NoGeometry(Exception):
    """The segmentation has no place in the patient."""


class NotUpright(Exception):
    """The slices of the segmentation are sheared or unevenly spaced."""


def validate(paths: Sequence[Path], scratch: Path, only: str | None = None) -> Verdict:
    """Run every validator that applies on every file, or only one of them by its name.

    They are programs of their own, so as many run at once as there are processors.
    """

    def of_one(numbered: tuple[int, Path]) -> list[tuple[str, Path, Iterable[str] | None]]:
        number, path = numbered
        room = scratch / str(number)
        room.mkdir(exist_ok=True)
        return [
            (name, path, tool(path, room))
            for name, tool in _judges_of(dcmread(path)).items()
            if only in {None, name}
        ]

    def of_reports() -> list[tuple[str, Path, Iterable[str] | None]]:
        if only not in {None, "pixelmed"}:
            return []
        reports = [path for path in paths if _is_of(path, Comprehensive3DSRStorage)]
        selections = [path for path in paths if _is_of(path, KeyObjectSelectionDocumentStorage)]
        said = {**templates(reports, scratch), **_judged(selections)}
        return [("pixelmed", path, texts) for path, texts in said.items()]

    verdict = Verdict()
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        last = pool.submit(of_reports)
        for notes in [*pool.map(of_one, enumerate(paths)), last.result()]:
            for note in notes:
                verdict.note(*note)
    return verdict


def _is_of(path: Path, sop_class_uid: str) -> bool:
    return _class_of(path) == sop_class_uid


def is_upright(segmentation: Dataset) -> bool:
    """Return whether slices stand in one evenly spaced stack: of others dcmqi makes no volume."""
    shared = segmentation.SharedFunctionalGroupsSequence[0]
    orientation = shared.get("PlaneOrientationSequence")
    if not orientation:
        return False
    row, column = np.reshape(np.asarray(orientation[0].ImageOrientationPatient, float), (2, 3))
    normal = np.cross(row, column)
    corners = np.asarray(
        [
            group.PlanePositionSequence[0].ImagePositionPatient
            for group in segmentation.PerFrameFunctionalGroupsSequence
        ],
        float,
    )
    heights = np.unique((corners @ normal).round(4))
    gaps = np.diff(heights)
    across = corners - np.outer(corners @ normal, normal)
    is_even = not len(gaps) or bool(np.allclose(gaps / gaps.min(), np.rint(gaps / gaps.min())))
    return bool(np.ptp(across, axis=0).max() < SHEAR_MM) and is_even


def templates(reports: Sequence[Path], scratch: Path) -> Mapping[Path, list[str]]:
    """Run pixelmed's DicomSRValidator, which judges a document against its templates.

    One measurement group at a time: it takes groups of different templates in one document for
    one. It needs seconds for each, so that heads and groups of documents that differ in nothing
    but numbers, texts and UIDs are judged once, and the verdict holds for all that have them.
    """
    pieces: list[Path] = []
    judged: dict[str, Path] = {}
    parts: dict[Path, set[str]] = {report: set() for report in reports}
    for report in reports:
        for head, group, document in _single_groups(dcmread(report)):
            parts[report] |= {head, group}
            if head in judged and group in judged:
                continue
            pieces.append(scratch / f"group-{len(pieces)}.dcm")
            document.save_as(pieces[-1], enforce_file_format=True)
            judged.setdefault(head, pieces[-1])
            judged.setdefault(group, pieces[-1])
    errors = _judged(pieces)
    return {
        report: sorted({text for part in parts[report] for text in errors[judged[part]]})
        for report in reports
    }


def _judged(documents: Sequence[Path]) -> Mapping[Path, list[str]]:
    """Return the errors that pixelmed finds, all files in one Java process."""
    jar = find_file("pixelmed.jar", "/usr/share/java")
    source = Path(__file__).with_name("ValidateReports.java")
    if not documents:
        return {}
    command = [find("java"), *_JAVA, "-cp", str(jar), str(source), *map(str, documents)]
    said = _run(command, seconds=900).stdout
    errors = {}
    for document in documents:
        lines = said.partition(f"== {document}\n")[2].partition("\n== ")[0].splitlines()
        errors[document] = [line for line in lines if line.startswith("Error")]
        if not any("IOD validation complete" in line for line in lines):
            errors[document].append("the validator did not reach its end")
    return errors


def volumes(segmentation: Path, scratch: Path) -> Mapping[int, tuple[NDArray[np.uint8], NDArray]]:
    """Let dcmqi make volumes of a segmentation.

    Returns
    -------
    mapping
        (slices, rows, columns) and the (4, 4) affine in RAS by value for label maps, else by
        segment number.
    """
    folder = scratch / "volumes"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    done = _run(
        [dcmqi("segimage2itkimage"), "--inputDICOM", str(segmentation), "--outputDirectory",
         str(folder), "--outputType", "nii"]
    )  # fmt: skip
    said = done.stdout + done.stderr
    if "Failed to get image directions" in said:
        raise NoGeometry
    if "outside image geometry" in said or "not equally spaced" in said:
        raise NotUpright
    found = {}
    for file in folder.glob("*.nii.gz"):
        image = nib.load(file)
        array = np.asarray(image.dataobj).astype(np.uint8)
        found[int(file.name.split(".")[0])] = (array.transpose(2, 1, 0), image.affine)
    if done.returncode or not found:
        raise AssertionError(said[-500:])
    return found


def dcmqi(program: str) -> str:
    """Return the path of a program of dcmqi, which comes as a Python package."""
    own = Path(sysconfig.get_path("scripts")) / program
    return str(own) if own.exists() else find(program)


def dciodvfy(path: Path, _scratch: Path | None = None) -> list[str]:
    """Run dicom3tools' dciodvfy: modules, types, conditions, enumerated values, evidence."""
    done = _run([find("dciodvfy"), "-new", str(path)])
    said = (done.stdout + done.stderr).splitlines()
    errors = [line for line in said if line.startswith(("Error", "Abort"))]
    return errors if errors or not done.returncode else [f"ended with {done.returncode}"]


def dcmqi_reads(path: Path, scratch: Path) -> list[str] | None:
    """Let dcmqi read a segmentation; `None` where it cannot, as the top of this file says."""
    dataset = dcmread(path)
    try:
        volumes(path, scratch)
    except NoGeometry:
        is_in_patient = "FrameOfReferenceUID" in dataset and "ImageOrientationSlide" not in dataset
        return ["no geometry"] if is_in_patient else None
    except NotUpright:
        return ["no volume"] if is_upright(dataset) else None
    except AssertionError as trouble:
        return [str(trouble)]
    return []


def map_volume(path: Path, scratch: Path) -> tuple[NDArray[np.float32], NDArray]:
    """Let dcmqi make a volume of a parametric map: (slices, rows, columns), affine in RAS."""
    folder = scratch / "map"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    done = _run(
        [dcmqi("paramap2itkimage"), "--inputDICOM", str(path), "--outputDirectory", str(folder),
         "--outputType", "nii"]
    )  # fmt: skip
    files = list(folder.glob("*.nii.gz"))
    if done.returncode or len(files) != 1:
        raise AssertionError((done.stdout + done.stderr)[-500:])
    image = nib.load(files[0])
    return np.asarray(image.dataobj, np.float32).transpose(2, 1, 0), image.affine


def dcmqi_reads_map(path: Path, scratch: Path) -> list[str]:
    """Let dcmqi read a parametric map."""
    try:
        map_volume(path, scratch)
    except AssertionError as trouble:
        return [str(trouble)]
    return []


def drawn(path: Path, scratch: Path) -> NDArray[np.bool_]:
    """Let DCMTK draw all frames of a segmentation: (frames, rows, columns), True where not 0."""
    folder = scratch / "drawn"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    done = _run([find("dcmj2pnm"), "+Fa", "+op", str(path), str(folder / "frame")])
    files = sorted(folder.glob("frame*.pgm"), key=lambda file: int(file.name.split(".")[-2]))
    assert files, done.stderr
    return np.stack([np.asarray(Image.open(file)) for file in files]) > 0


def tid1500reader(path: Path, scratch: Path) -> list[str]:
    """Let dcmqi read a report."""
    done = _run([dcmqi("tid1500reader"), "--inputDICOM", str(path), "--outputMetadata",
                 str(scratch / "report.json")])  # fmt: skip
    return [(done.stdout + done.stderr)[-300:]] if done.returncode else []


def dsrdump(path: Path, _scratch: Path) -> list[str]:
    """Let DCMTK read a report, with all relationships checked."""
    done = _run([find("dsrdump"), "-Ei", str(path)])
    return [done.stderr[:300]] if done.returncode else []


def dsr2xml(path: Path, scratch: Path) -> list[str]:
    """Let DCMTK write a report as XML."""
    done = _run([find("dsr2xml"), "+Wt", str(path), str(scratch / "report.xml")])
    return [done.stderr[:300]] if done.returncode else []


def dcmpschk(path: Path, scratch: Path) -> list[str]:
    """Let DCMTK check a grayscale presentation state.

    A copy of it, for it takes names in UTF-8 for faulty, and times with a zone, against its own
    rule that it prints.
    """
    dataset = dcmread(path)
    dataset.PatientName = "Name^Plain"
    for item in dataset.ContributingEquipmentSequence:
        if "ContributionDateTime" in item:
            item.ContributionDateTime = str(item.ContributionDateTime)[:14]
    plain = scratch / "state.dcm"
    dataset.save_as(plain, enforce_file_format=True)
    done = _run([find("dcmpschk"), str(plain)])
    said = (done.stdout + done.stderr).splitlines()
    errors = [line for line in said if line.startswith(("E:", "F:"))]
    return errors if errors or not done.returncode else [f"ended with {done.returncode}"]


def dcmj2pnm(path: Path, scratch: Path) -> list[str]:
    """Let DCMTK draw an image, as the simplest of viewers does."""
    done = _run([find("dcmj2pnm"), "+on", str(path), str(scratch / "picture.png")])
    return [done.stderr[:300]] if done.returncode else []


def drtdump(path: Path, _scratch: Path) -> list[str]:
    """Let DCMTK read an RT object into its own classes, module by module."""
    done = _run([find("drtdump"), "-v", str(path)])
    said = (done.stdout + done.stderr).splitlines()
    return [line for line in said if line.startswith(("E:", "F:")) or "absent in" in line]


def dcmftest(path: Path, _scratch: Path) -> list[str]:
    """Let DCMTK see whether it is a DICOM file at all."""
    said = _run([find("dcmftest"), str(path)]).stdout
    return [] if said.startswith("yes") else [said]


def tables(path: Path, _scratch: Path) -> list[str]:
    """Check Types against PS3.3."""
    return iod.objections(dcmread(path))


def rules(path: Path, _scratch: Path) -> list[str]:
    """Check a report against IHE AI Results."""
    return air.objections(dcmread(path))


_DOCUMENT = {"dsrdump": dsrdump, "dsr2xml": dsr2xml}
_JUDGES: Mapping[str, Mapping[str, Judge]] = {
    Comprehensive3DSRStorage: _DOCUMENT | {"tid1500reader": tid1500reader, "AIR": rules},
    KeyObjectSelectionDocumentStorage: _DOCUMENT,
    SegmentationStorage: {"dcmqi": dcmqi_reads},
    LABEL_MAP_STORAGE: {"dcmqi": dcmqi_reads},
    ParametricMapStorage: {"dcmqi": dcmqi_reads_map},
    RTStructureSetStorage: {"drtdump": drtdump},
    GrayscaleSoftcopyPresentationStateStorage: {"dcmpschk": dcmpschk},
    ColorSoftcopyPresentationStateStorage: {},
    MicroscopyBulkSimpleAnnotationsStorage: {},
}
"""Who knows objects of which SOP class; of all others DCMTK draws a picture."""


def _judges_of(dataset: Dataset) -> Mapping[str, Judge]:
    """Return who has to say something about an object of this SOP class, by name."""
    sop_class = str(dataset.SOPClassUID)
    always: dict[str, Judge] = {"PS3.3": tables, "dcmftest": dcmftest}
    if sop_class != LABEL_MAP_STORAGE:
        always["dciodvfy"] = dciodvfy
    return {**always, **_JUDGES.get(sop_class, {"dcmj2pnm": dcmj2pnm})}


def _single_groups(document: Dataset) -> Iterable[tuple[str, str, Dataset]]:
    """Return (shape of its head, shape of its group, document) for each measurement group."""
    place = next(
        index
        for index, item in enumerate(document.ContentSequence)
        if item.ConceptNameCodeSequence[0].CodeValue == "126010"
    )
    measurements = document.ContentSequence[place]
    groups = measurements.ContentSequence
    measurements.ContentSequence = []
    head = _shape(document)
    for group in groups:
        measurements.ContentSequence = [group]
        yield head, _shape(group), deepcopy(document)


def _shape(item: Dataset) -> str:
    """Return the tree of a document without its numbers, texts and UIDs."""
    codes = [
        item[keyword].value[0].CodeValue
        for keyword in ("ConceptNameCodeSequence", "ConceptCodeSequence")
        if item.get(keyword)
    ]
    inner = sorted({_shape(child) for child in item.get("ContentSequence", [])})
    relation = item.get("RelationshipType", "")
    return f"({item.ValueType} {relation} {' '.join(codes)} {''.join(inner)})"


def _class_of(path: Path) -> str:
    return str(dcmread(path, stop_before_pixels=True).SOPClassUID)


def _run(command: Sequence[str], seconds: float = 240) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, capture_output=True, text=True, errors="replace", check=False, timeout=seconds
    )
