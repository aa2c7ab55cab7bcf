"""An answer from two images names both as its sources, and shows the one over the other."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from pydicom.dataset import Dataset

from dicom_ai_node.domain.errors import Rejected
from dicom_ai_node.domain.findings import Findings
from dicom_ai_node.domain.model import Sees
from dicom_ai_node.domain.orders import InferenceOrder
from dicom_ai_node.infer.catalog import Catalog
from dicom_ai_node.infer.display import backdrop
from dicom_ai_node.infer.fused import fused
from dicom_ai_node.infer.kinds import task_of
from dicom_ai_node.infer.networks import network
from dicom_ai_node.infer.read import read_series
from dicom_ai_node.infer.run import run_inference
from tests import phantoms
from tests.model_folders import fuse_model

PET = phantoms.pet_values(12, 64, 48)
"""Its ball lies where that of the CT does."""


def _found(tmp_path: Path, pet: list[Dataset], ct: list[Dataset], **changes: object) -> Findings:
    fuse_model(tmp_path, **changes)
    facts = Catalog([tmp_path]).facts("fused_pair")
    order = InferenceOrder(
        kind="fuse",
        model=facts.name,
        model_digest=facts.digest,
        inputs={
            "pet": tuple(phantoms.write(pet, tmp_path / "pet")),
            "ct": tuple(phantoms.write(ct, tmp_path / "ct")),
        },
        options={},
    )
    return run_inference(order, facts, task_of(facts, network(facts)))


def test_the_frames_of_all_inputs_are_the_sources_of_the_answer(tmp_path: Path) -> None:
    """Those of the reference come first; it is their slices that are explained, all of them."""
    pet, ct = phantoms.pet(), phantoms.ct()
    found = _found(tmp_path, pet, ct)
    assert found.classification is not None
    assert found.heat_map is not None
    sources = [source.sop_instance_uid for source in found.classification.sources]
    assert sources == [ds.SOPInstanceUID for ds in (*ct, *pet)]
    assert [source.sop_instance_uid for source in found.heat_map.sources] == sources[: len(ct)]
    assert found.heat_map.array.shape == (12, 64, 48)
    assert 0.5 < float(found.heat_map.array.max()) <= 1


def test_the_other_image_lies_over_the_slice_that_is_shown(tmp_path: Path) -> None:
    """Where it lies in the patient, from 0 to 1 over the window of its input."""
    pet = phantoms.pet()
    found = _found(tmp_path, pet, phantoms.ct())
    assert found.backdrop is not None
    over = found.backdrop.overlay
    assert over is not None
    assert (over.name, over.low, over.high, over.unit) == ("pet", 0, 4, "g/ml{SUVbw}")
    place = [ds.SOPInstanceUID for ds in phantoms.ct()].index(
        found.backdrop.sources[0].sop_instance_uid
    )
    suv = PET[place] * 1.5 * phantoms.SUV_PER_BQML
    assert np.abs(over.array[0] - np.clip(suv / 4, 0, 1)).max() < 2e-3


@pytest.mark.parametrize("place", [0, 11])
def test_an_image_is_shown_over_the_slices_that_it_reaches(place: int, tmp_path: Path) -> None:
    """On the others nothing lies over the reference, although the answer rests on both."""
    pet, ct = phantoms.pet(), phantoms.ct()
    found = _found(tmp_path, pet, ct)
    images = {
        "pet": read_series(phantoms.write(pet[:2], tmp_path / "part"), Sees.VOLUME),
        "ct": read_series(phantoms.write(ct, tmp_path / "whole"), Sees.VOLUME),
    }
    shown = backdrop(images["ct"], [place], None)
    again = fused(replace(found, backdrop=shown), images, Catalog([tmp_path]).facts("fused_pair"))
    assert again.backdrop is not None
    assert (again.backdrop.overlay is not None) == (place == 0)


def test_images_without_a_common_frame_of_reference_are_not_fused(tmp_path: Path) -> None:
    """Nobody knows how they lie to each other."""
    with pytest.raises(Rejected, match="FUSION_NO_FOR"):
        _found(tmp_path, phantoms.pet(FrameOfReferenceUID="2.25.9"), phantoms.ct())
