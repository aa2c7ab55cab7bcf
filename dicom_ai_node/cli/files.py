"""DICOM files on this machine, as the commands `send`, `explain` and `demo` take them."""

from collections.abc import Sequence
from pathlib import Path

from dicom_ai_node import compose
from dicom_ai_node.config import NodeConfig, routes
from dicom_ai_node.domain.errors import NeedsAttention, Refused
from dicom_ai_node.domain.study import Instance, Series
from dicom_ai_node.domain.uids import AETitle, SeriesInstanceUID
from dicom_ai_node.receive.header import instance_of
from dicom_ai_node.route.explain import Explanation, explain


def dicom_files(path: Path) -> list[Path]:
    """Return the Part 10 files at or below `path`, by name.

    Raises
    ------
    NeedsAttention
        If there are none, or one may not be read.
    """
    paths = [path] if path.is_file() else sorted(p for p in path.rglob("*") if p.is_file())
    found = [one for one in paths if _is_part_10(one)]
    if not found:
        raise NeedsAttention(f"no DICOM files in {path}")
    return found


def _is_part_10(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(132)[128:] == b"DICM"
    except OSError as error:
        raise NeedsAttention(f"{path} cannot be read: {error.strerror}") from error


def explanations(config: NodeConfig, folder: Path) -> list[Explanation]:
    """Return what every route says to every series in `folder`.

    Raises
    ------
    NeedsAttention
        If there is nothing to explain, or a file is damaged.
    """
    found: dict[SeriesInstanceUID, list[Instance]] = {}
    for path in dicom_files(folder):
        one = _instance(path)
        found.setdefault(one.series_instance_uid, []).append(one)
    series = [_series(instances) for instances in found.values()]
    return explain(series, routes(config), compose.models(config))


def _instance(path: Path) -> Instance:
    try:
        return instance_of(path)
    except Refused as no:
        raise NeedsAttention(f"{path}: {no}") from no


def _series(instances: Sequence[Instance]) -> Series:
    first = instances[0]
    shared = set.intersection(*(set(one.attributes.items()) for one in instances))
    return Series(
        series_instance_uid=first.series_instance_uid,
        study_instance_uid=first.study_instance_uid,
        calling_ae_title=AETitle(""),
        attributes=dict(shared),
        instances=tuple(instances),
        first_received=compose.now(),
        last_received=compose.now(),
        revision=len(instances),
        is_complete=True,
    )
