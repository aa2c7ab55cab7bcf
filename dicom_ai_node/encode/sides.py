"""On which side of the body an image was taken, as the modules of a result must tell it."""

from pydicom.dataset import Dataset

_UNPAIRED = frozenset({
    "ABDOMEN", "ABDOMENPELVIS", "AORTA", "BACK", "BLADDER", "BRAIN", "CEREBELLUM", "CHEST",
    "CHESTABDOMEN", "CHESTABDPELVIS", "CIRCLEOFWILLIS", "COCCYX", "COLON", "CSPINE", "CTSPINE",
    "DUODENUM", "ESOPHAGUS", "FACE", "GALLBLADDER", "HEAD", "HEADNECK", "HEART", "ILEUM",
    "ILIUM", "JAW", "LARYNX", "LIVER", "LSPINE", "LSSPINE", "MAXILLA", "MEDIASTINUM", "MOUTH",
    "NECK", "NECKCHEST", "NOSE", "PANCREAS", "PELVIS", "PENIS", "PROSTATE", "RECTUM", "SKULL",
    "SPINE", "SPLEEN", "STERNUM", "STOMACH", "THYMUS", "THYROID", "TONGUE", "TRACHEA",
    "TLSPINE", "TSPINE", "UTERUS", "VAGINA", "WHOLEBODY",
})  # fmt: skip
"""Body parts of which there is one: only for others must the side be told, PS3.3 C.7.3.1.1.2."""


def add_laterality(header: Dataset, source: Dataset) -> None:
    """Tell the side that the source tells, empty if it does not and there are two."""
    if str(source.get("BodyPartExamined")) not in _UNPAIRED:
        known = source.get("Laterality") in {"L", "R"}
        header.Laterality = source.Laterality if known else None
