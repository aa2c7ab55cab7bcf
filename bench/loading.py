"""Loads series: `python -m bench.loading NAME` waits for folders and prints what each took.

For each folder a line on its standard input; a child that has all libraries from the beginning
loads a few files and then the whole series, so that nobody begins cold and nothing is left over
from the series before. Each loader returns a float32 tensor of (slices, rows, columns), or of the same values in the order
in which it gives them, of all files of a folder.
"""

import os
import sys
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import torch
from pydicom import dcmread
from pydicom.encaps import get_frame
from pydicom.pixels import apply_rescale
from pydicom.uid import (
    ExplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
)

from bench import forking
from bench.processes import own_mb
from bench.results import Kind

Load = Callable[[], torch.Tensor]


def ours(folder: Path) -> Load:
    """Read as the node does before it looks at a volume: geometry and units are judged, too."""
    from dicom_ai_node.domain.model import Sees  # noqa: PLC0415 - each needs its own only
    from dicom_ai_node.infer.read import read_series  # noqa: PLC0415

    paths = sorted(folder.iterdir())
    return lambda: torch.from_numpy(read_series(paths, Sees.VOLUME).array)


def pydicom_loop(folder: Path) -> Load:
    """Read as most scripts do: every file, `pixel_array`, sort, stack."""

    def load() -> torch.Tensor:
        slices = []
        for path in folder.iterdir():
            ds = dcmread(path)
            slices.append((float(ds.ImagePositionPatient[2]), apply_rescale(ds.pixel_array, ds)))
        slices.sort(key=lambda one: one[0])
        return torch.from_numpy(np.stack([values for _, values in slices]).astype(np.float32))

    return load


def simpleitk(folder: Path) -> Load:
    """Read with SimpleITK's reader of series."""
    import SimpleITK as sitk  # noqa: N813, PLC0415 - as everybody calls it

    def load() -> torch.Tensor:
        reader = sitk.ImageSeriesReader()
        reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(folder)))
        values = sitk.GetArrayFromImage(reader.Execute())
        return torch.from_numpy(values.astype(np.float32))

    return load


def monai_pydicom(folder: Path) -> Load:
    """Read with MONAI's LoadImage and its PydicomReader."""
    return _monai(folder, "PydicomReader")


def monai_itk(folder: Path) -> Load:
    """Read with MONAI's LoadImage and its ITKReader."""
    return _monai(folder, "ITKReader")


def _monai(folder: Path, reader: str) -> Load:
    from monai.transforms import LoadImage  # noqa: PLC0415

    image = LoadImage(reader=reader, image_only=True)
    return lambda: image(str(folder)).as_tensor()


def limit(folder: Path) -> Load:
    """Read with everything known before: where the pixels are, how large, in which order.

    One thread for each processor reads, or decodes with imagecodecs, and converts.
    """
    paths = list(folder.iterdir())
    with paths[0].open("rb") as file:
        syntax = str(dcmread(file, stop_before_pixels=True).file_meta.TransferSyntaxUID)
    found = sorted((_place(path) for path in paths), key=lambda one: one[0])
    size, decode = found[0][4], _DECODERS[syntax]

    def load() -> torch.Tensor:
        out = torch.empty((len(found), *size))

        def put(index: int) -> None:
            _, path, at, length, _ = found[index]
            with path.open("rb", buffering=0) as file:
                frame = os.pread(file.fileno(), length, at)
            values = decode(frame).reshape(size)
            np.subtract(values, 1024, out=out[index].numpy(), casting="unsafe", dtype=np.float32)

        with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
            list(pool.map(put, range(len(found))))
        return out

    return load


def _place(path: Path) -> tuple[float, Path, int, int, tuple[int, int]]:
    """Return the z, and where the only frame lies in the file."""
    ds = dcmread(path)
    pixels = ds.PixelData
    if ds["PixelData"].is_undefined_length:
        pixels = get_frame(pixels, 0, number_of_frames=1)
    at = path.read_bytes().rindex(pixels)
    return float(ds.ImagePositionPatient[2]), path, at, len(pixels), (ds.Rows, ds.Columns)


_STORED = np.dtype("<u2")
_DECODERS: Mapping[str, Callable[[bytes], Any]] = {
    JPEGLosslessSV1: imagecodecs.ljpeg_decode,
    JPEGLSLossless: imagecodecs.jpegls_decode,
    JPEG2000Lossless: imagecodecs.jpeg2k_decode,
    RLELossless: lambda frame: np.frombuffer(imagecodecs.dicomrle_decode(frame, _STORED), _STORED),
    ExplicitVRLittleEndian: lambda frame: np.frombuffer(frame, _STORED),
}


@dataclass(frozen=True, slots=True)
class Loader:
    """One way to load a series; `module` is what has to be installed for it."""

    kind: Kind
    prepare: Callable[[Path], Load]
    module: str = "pydicom"
    imported: tuple[str, ...] = ()

    def imports(self) -> None:
        """Import what it needs, so that no child has to."""
        for name in (self.module, *self.imported):
            import_module(name)


LOADERS: Mapping[str, Loader] = {
    "dicom_ai_node": Loader(Kind.OURS, ours, imported=("dicom_ai_node.infer.read",)),
    "MONAI LoadImage, PydicomReader": Loader(
        Kind.PEER, monai_pydicom, imported=("monai.transforms",)
    ),
    "MONAI LoadImage, ITKReader": Loader(Kind.PEER, monai_itk, "itk", ("monai.transforms",)),
    "SimpleITK": Loader(Kind.PEER, simpleitk, "SimpleITK"),
    "pydicom loop": Loader(Kind.PEER, pydicom_loop),
    "decoding alone, on all processors": Loader(Kind.LIMIT, limit),
}


def measured(loader: Loader, folder: Path, warm: Path) -> Mapping[str, float]:
    """Load `warm` and then `folder` in this process, and return what the second took."""
    loader.prepare(warm)()
    load = loader.prepare(folder)
    before_mb = own_mb("VmRSS")
    began = time.perf_counter()
    tensor = load()
    seconds = time.perf_counter() - began
    peak_mb = own_mb("VmHWM")
    return {
        "seconds": seconds,
        "peak_mb": peak_mb,
        "grown_mb": peak_mb - before_mb,
        "beyond_mb": peak_mb - before_mb - tensor.nbytes / 1e6,
        "mean": float(tensor.mean(dtype=torch.float64)),
    }


if __name__ == "__main__":
    chosen = LOADERS[sys.argv[1]]
    chosen.imports()
    forking.serve(lambda said: measured(chosen, Path(said["folder"]), Path(said["warm"])))
