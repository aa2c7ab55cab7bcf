"""Findings in a folder: what a worker leaves for the encoder. A pickle would be code; this is not.

`findings.json` holds everything but the arrays, `arrays.npz` the arrays, and `manifest.json`, which
is written last, the digests of both. A folder without a manifest is an attempt that did not end.

Each array is an entry `NAME.npy.zst`: the head of NumPy's format, and the values by Zstandard,
which takes a tenth of the time of deflate for images with noise. An earlier version has left
entries `NAME.npy`, deflated.
"""

import hashlib
import json
import os
import zipfile
from collections.abc import Mapping
from datetime import datetime
from io import BytesIO
from pathlib import Path
from typing import IO, Any, Final, get_origin

import cattrs
import imagecodecs
import numpy as np
from numpy.typing import NDArray
from pydicom.sr.coding import Code

from dicom_ai_node.domain.errors import OutOfResources, TaskFailed
from dicom_ai_node.domain.findings import Embedding, Findings
from dicom_ai_node.domain.image import SourceFrame

_WORDS, _ARRAYS, _MANIFEST = "findings.json", "arrays.npz", "manifest.json"
_LEVEL = 1  # label maps shrink a hundredfold at the lowest level; more only costs time
_ZSTD, _BEFORE = ".npy.zst", ".npy"


_DAMAGED: Final = (ValueError, LookupError, EOFError, zipfile.BadZipFile, imagecodecs.ZstdError)


def keep_findings(folder: Path, findings: Findings) -> None:
    """Write findings into a folder, durable when it returns; what was there before is replaced.

    Raises
    ------
    OutOfResources
        If the disk is full or an fsync fails.
    """
    arrays: dict[str, NDArray[Any]] = {}
    words = _writer(arrays).unstructure(findings)
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        (folder / _MANIFEST).unlink(missing_ok=True)
        _write_arrays(folder / _ARRAYS, arrays)
        (folder / _WORDS).write_text(json.dumps(words, default=_plain), encoding="utf-8")
        manifest = {name: _digest(folder / name) for name in (_WORDS, _ARRAYS)}
        draft = folder / f"{_MANIFEST}.part"
        draft.write_text(json.dumps(manifest), encoding="utf-8")
        for path in (folder / _WORDS, folder / _ARRAYS, draft):
            _sync(path)
        draft.replace(folder / _MANIFEST)
        _sync(folder)
    except OSError as error:
        raise OutOfResources(f"cannot keep findings: {error.strerror}") from error


def findings_of(folder: Path) -> Findings:
    """Return what `keep_findings` has written, to the last bit.

    Raises
    ------
    TaskFailed
        If the folder is absent, incomplete or damaged.
    """
    try:
        manifest = json.loads((folder / _MANIFEST).read_text(encoding="utf-8"))
        if manifest != {name: _digest(folder / name) for name in (_WORDS, _ARRAYS)}:
            raise TaskFailed("the findings are damaged: a file has another digest")
        words = json.loads((folder / _WORDS).read_text(encoding="utf-8"))
        return _reader(_read_arrays(folder / _ARRAYS)).structure(words, Findings)
    except OSError as error:
        raise TaskFailed(f"the findings are incomplete: {error.strerror}") from error
    except (*_DAMAGED, cattrs.BaseValidationError) as error:
        raise TaskFailed("the findings are damaged: they cannot be read") from error


def embedding_of(folder: Path) -> Embedding | None:
    """Return the embedding among the findings in `folder`; other findings are not even read.

    Raises
    ------
    TaskFailed
        If the folder is absent, incomplete or damaged.
    """
    try:
        words = json.loads((folder / _WORDS).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise TaskFailed("the findings are incomplete") from error
    return findings_of(folder).embedding if words.get("embedding") else None


def _writer(arrays: dict[str, NDArray[Any]]) -> cattrs.Converter:
    """Return a converter that puts arrays aside and leaves a name in their place."""

    def put(array: NDArray[Any]) -> str:
        name = f"array{len(arrays)}"
        arrays[name] = array
        return name

    converter = cattrs.Converter()
    converter.register_unstructure_hook_func(_is_array, put)
    converter.register_unstructure_hook(Code, list)
    converter.register_unstructure_hook(SourceFrame, _frame)
    converter.register_unstructure_hook(datetime, datetime.isoformat)
    return converter


def _reader(arrays: Mapping[str, NDArray[Any]]) -> cattrs.Converter:
    """Return a converter that puts the arrays back where their names are."""
    converter = cattrs.Converter(forbid_extra_keys=True)
    converter.register_structure_hook_func(_is_array, lambda name, _: arrays[name])
    converter.register_structure_hook(Code, lambda parts, _: Code(*parts))
    converter.register_structure_hook(datetime, lambda text, _: datetime.fromisoformat(text))
    converter.register_structure_hook(SourceFrame, lambda parts, _: SourceFrame(*parts))
    return converter


def _is_array(kind: object) -> bool:
    return get_origin(kind) is np.ndarray


def _frame(frame: SourceFrame) -> list[str | int]:
    return [frame.sop_instance_uid, frame.number]


def _plain(number: Any) -> object:  # noqa: ANN401 - json's own signature
    """Return the Python number in a numpy scalar; anything else is a mistake of the task."""
    if isinstance(number, np.generic):
        return number.item()
    raise TaskFailed(f"a task answered with a {type(number).__name__}")


def _write_arrays(path: Path, arrays: Mapping[str, NDArray[Any]]) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for name, array in arrays.items():
            values = np.ascontiguousarray(array).reshape(array.shape)
            _refuse_objects(values.dtype)
            head = BytesIO()
            np.lib.format.write_array_header_1_0(
                head, np.lib.format.header_data_from_array_1_0(values)
            )
            with archive.open(f"{name}{_ZSTD}", "w", force_zip64=True) as file:
                file.write(head.getvalue())
                file.write(imagecodecs.zstd_encode(_octets(values), level=_LEVEL))


def _read_arrays(path: Path) -> Mapping[str, NDArray[Any]]:
    arrays = {}
    with zipfile.ZipFile(path) as archive:
        for entry in archive.namelist():
            with archive.open(entry) as file:
                if entry.endswith(_ZSTD):
                    arrays[entry.removesuffix(_ZSTD)] = _read_array(file)
                else:
                    arrays[entry.removesuffix(_BEFORE)] = np.lib.format.read_array(file)
    return arrays


def _read_array(file: IO[bytes]) -> NDArray[Any]:
    np.lib.format.read_magic(file)
    shape, _, dtype = np.lib.format.read_array_header_1_0(file)
    _refuse_objects(dtype)
    array = np.empty(shape, dtype)
    if len(imagecodecs.zstd_decode(file.read(), out=_octets(array))) != array.nbytes:
        raise ValueError("an array is too short")
    return array


def _refuse_objects(dtype: np.dtype[Any]) -> None:
    if dtype.hasobject:
        raise ValueError("an array of objects would be a pickle")


def _octets(array: NDArray[Any]) -> Any:  # noqa: ANN401 - a buffer, as imagecodecs means it
    return array.reshape(-1).view(np.uint8)


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _sync(path: Path) -> None:
    number = os.open(path, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)
