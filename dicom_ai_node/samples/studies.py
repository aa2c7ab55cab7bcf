"""The sample studies: one of each kind of image that the models of this repository look at."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from pydicom.dataset import FileDataset

from dicom_ai_node.samples import images, pairs, slides, volumes


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One study, of one series or of a pair.

    Attributes
    ----------
    name
        Of its folder.
    modality
        That of its series, or those.
    source, licence
        Where the pixels come from and under which terms; `ATTRIBUTION.md` says more.
    truth
        What is known about it from elsewhere, for whoever compares; perhaps nothing.
    make
        Returns its instances, complete and ready to be written.
    """

    name: str
    title: str
    modality: str
    source: str
    licence: str
    make: Callable[[], Sequence[FileDataset]]
    truth: str = ""


SAMPLES: tuple[Sample, ...] = (
    Sample(
        name="ct-head",
        title="Head CT: 28 slices, gantry tilted by 18.5 degrees, 4.22 and 7.38 mm apart",
        modality="CT",
        source="neurolabusc/dcm_qa_ct, In/GE, 2 x 2 pixels averaged",
        licence="BSD-2-Clause",
        make=volumes.ct_head,
    ),
    Sample(
        name="mr-hippocampus",
        title="T1 MR, cropped around one hippocampus",
        modality="MR",
        source="Medical Segmentation Decathlon, task 4, hippocampus_003",
        licence="CC BY-SA 4.0",
        make=volumes.mr_hippocampus,
        truth="anterior and posterior hippocampus together 3.353 cm3",
    ),
    Sample(
        name="pet-brain",
        title="FDG PET of a brain, made from a template of 116 normal adults",
        modality="PT",
        source="DlutMedimgGroup/Chinese-Brain-PET-Template, pairs of slices averaged",
        licence="MIT",
        make=volumes.pet_brain,
        truth=f"SUVbw is the template times {volumes.SUV_OF_TEMPLATE:g}",
    ),
    Sample(
        name="petct-lung",
        title="FDG PET and CT of a part of a chest with a lung tumour, and made-up lab values",
        modality="PT, CT, SR",
        source="zhongzisha/ISBI2018_PETCT_Segmentation, A-IA001491, blocks of pixels averaged",
        licence="MIT",
        make=pairs.petct_lung_with_labs,
        truth="the tumour in the PET has 1.206 cm3 as experts outlined it",
    ),
    Sample(
        name="cr-chest",
        title="Chest X-ray, postero-anterior, no calibration",
        modality="CR",
        source="COVID-19 image repository of Hannover Medical School, 3b46de94",
        licence="CC BY 3.0",
        make=images.cr_chest,
    ),
    Sample(
        name="us-fetal-head-2nd",
        title="Ultrasound of a fetal head, second trimester",
        modality="US",
        source="HC18, 297_HC",
        licence="CC BY 4.0",
        make=partial(images.fetal_head, "us-fetal-head-2nd"),
        truth="head circumference 174.89 mm",
    ),
    Sample(
        name="us-fetal-head-3rd",
        title="Ultrasound of a fetal head, third trimester",
        modality="US",
        source="HC18, 702_HC",
        licence="CC BY 4.0",
        make=partial(images.fetal_head, "us-fetal-head-3rd"),
        truth="head circumference 270.34 mm",
    ),
    Sample(
        name="us-fetal-head-grown",
        title="Ultrasound, made: the head of us-fetal-head-2nd 28 days later, lengths times 1.2",
        modality="US",
        source="HC18, 297_HC",
        licence="CC BY 4.0",
        make=images.grown_head,
        truth="head circumference 209.87 mm, 34.98 mm more than in us-fetal-head-2nd",
    ),
    Sample(
        name="us-cine",
        title="Ultrasound cine, made: one fetal head moved by a known path",
        modality="US",
        source="HC18, 144_HC",
        licence="CC BY 4.0",
        make=images.us_cine,
        truth="head circumference 98.67 mm in every frame; the path is images.cine_path_px, to and "
        "fro by 5.7 mm every 0.384 s",
    ),
    Sample(
        name="sm-nuclei",
        title="Whole slide, made: four fields of a stained section as tiles, 0.5 um assumed",
        modality="SM",
        source="2018 Data Science Bowl, 2246874c, 3bfa8b3b, cbca32da, cbff6036",
        licence="CC0",
        make=slides.sm_nuclei,
        truth="294 nuclei were drawn in the four fields",
    ),
)


def write_samples(folder: Path) -> list[Path]:
    """Write every study into `folder/NAME` as Part 10 files, and return their paths.

    The same bytes each time: UIDs and dates depend on nothing but the sample.
    """
    paths = []
    for sample in SAMPLES:
        home = folder / sample.name
        home.mkdir(parents=True, exist_ok=True)
        for ds in sample.make():
            paths.append(home / f"{ds.Modality}{int(ds.InstanceNumber or 0):04d}.dcm")
            ds.save_as(paths[-1], enforce_file_format=True)
    return paths
