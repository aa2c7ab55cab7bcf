"""X-rays of 28 pixels as `pneumonia_cxr` knows them: one unharmed, and one that was attacked.

The unharmed one is the golden picture of the model, enlarged, for of the golden picture itself the
model is so unsure that the guard reports it. The attack is PGD on the shipped network, then
the pixels are rounded to whole grey values, as they would have to be in a DICOM file.
"""

from functools import cache
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from pydicom.dataset import FileDataset
from torch.nn.functional import interpolate

import dicom_ai_node
from dicom_ai_node.infer.catalog import Catalog
from dicom_ai_node.infer.networks import network
from dicom_ai_node.training.attack import Attack, attacked, wrongness
from tests import phantoms

BUNDLES = Path(dicom_ai_node.__file__).parent / "bundles"
MODEL = "pneumonia_cxr"


@cache
def pixels(*, reach: int = 0) -> NDArray[np.uint16]:
    """Return (28, 28) grey values in 0..255, none changed by more than about `reach`."""
    facts = Catalog([BUNDLES]).facts(MODEL)
    with np.load(facts.folder / facts.golden.file) as golden:
        image = torch.from_numpy(golden["image"])[None, None]
    larger = interpolate(image, (36, 36), mode="bicubic")
    items = larger[..., 4:32, 4:32].clamp(0, 255).round() / 255
    if reach:
        net = network(facts)
        items = attacked(
            items,
            (28, 28),
            wrongness(net, net(items).argmax(1)),
            Attack(reach=reach / 255, steps=40),
            torch.Generator().manual_seed(1),
        )
    return (items[0, 0] * 255).round().numpy().astype(np.uint16)


def xray(*, reach: int = 0, **changes: object) -> FileDataset:
    """Return them as a computed radiograph that is shown as it is stored."""
    values = pixels(reach=reach)
    given = {"PixelData": values.tobytes(), "WindowCenter": 128, "WindowWidth": 256, **changes}
    return phantoms.cr(*values.shape, **given)
