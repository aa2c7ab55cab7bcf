"""Which SOP classes and transfer syntaxes the node takes, PS3.4 Annexes B, C and PS3.8 7.1.1.13.

The limit of 128 presentation contexts binds whoever opens the association, not us.
"""

from collections.abc import Collection
from enum import IntEnum
from functools import cache
from types import MappingProxyType

from pynetdicom import AllStoragePresentationContexts

from dicom_ai_node.dimse.commands import C_FIND_RQ, C_GET_RQ, C_MOVE_RQ
from dicom_ai_node.domain.commitment_messages import SOP_CLASS
from dicom_ai_node.domain.query_retrieve import Root

VERIFICATION = "1.2.840.10008.1.1"
STORAGE_COMMITMENT = SOP_CLASS
EXPLICIT_LITTLE = "1.2.840.10008.1.2.1"
IMPLICIT_LITTLE = "1.2.840.10008.1.2"
EXPLICIT_BIG = "1.2.840.10008.1.2.2"
DEFLATED = "1.2.840.10008.1.2.1.99"

QUERY_RETRIEVE = MappingProxyType(
    {
        f"1.2.840.10008.5.1.4.1.2.{model}.{service}": (root, command)
        for model, root in ((1, Root.PATIENT), (2, Root.STUDY))
        for service, command in ((1, C_FIND_RQ), (2, C_MOVE_RQ), (3, C_GET_RQ))
    }
)
"""The information model and the only command of each query/retrieve class, PS3.4 C.6."""

_RETIRED = (
    "1.2.840.10008.5.1.4.1.1.3",  # Ultrasound multi-frame
    "1.2.840.10008.5.1.4.1.1.5",  # Nuclear medicine
    "1.2.840.10008.5.1.4.1.1.6",  # Ultrasound
    "1.2.840.10008.5.1.4.1.1.12.3",  # X-ray angiographic bi-plane
    "1.2.840.10008.5.1.4.1.1.77.1",  # Visible light
    "1.2.840.10008.5.1.4.1.1.77.2",  # Visible light multi-frame
)
"""Storage classes that old scanners still send and that pynetdicom does not list."""

TRANSFER_SYNTAXES = (
    EXPLICIT_LITTLE,
    IMPLICIT_LITTLE,
    "1.2.840.10008.1.2.4.80",  # JPEG-LS lossless
    "1.2.840.10008.1.2.5",  # RLE
    "1.2.840.10008.1.2.4.90",  # JPEG 2000 lossless
    "1.2.840.10008.1.2.4.201",  # HTJ2K lossless
    "1.2.840.10008.1.2.4.202",  # HTJ2K lossless, RPCL
    "1.2.840.10008.1.2.4.70",  # JPEG lossless, first-order prediction
    "1.2.840.10008.1.2.4.57",  # JPEG lossless
    "1.2.840.10008.1.2.4.81",  # JPEG-LS near-lossless
    "1.2.840.10008.1.2.4.91",  # JPEG 2000
    "1.2.840.10008.1.2.4.203",  # HTJ2K
    "1.2.840.10008.1.2.4.50",  # JPEG baseline
    "1.2.840.10008.1.2.4.51",  # JPEG extended
    "1.2.840.10008.1.2.4.92",  # JPEG 2000 part 2, lossless
    "1.2.840.10008.1.2.4.93",  # JPEG 2000 part 2
    "1.2.840.10008.1.2.4.110",  # JPEG XL lossless
    "1.2.840.10008.1.2.4.111",  # JPEG XL, recompressed JPEG
    "1.2.840.10008.1.2.4.112",  # JPEG XL
    "1.2.840.10008.1.2.8.1",  # Deflated image frames
    "1.2.840.10008.1.2.4.100",  # MPEG-2
    "1.2.840.10008.1.2.4.100.1",
    "1.2.840.10008.1.2.4.101",
    "1.2.840.10008.1.2.4.101.1",
    "1.2.840.10008.1.2.4.102",  # MPEG-4
    "1.2.840.10008.1.2.4.102.1",
    "1.2.840.10008.1.2.4.103",
    "1.2.840.10008.1.2.4.103.1",
    "1.2.840.10008.1.2.4.104",
    "1.2.840.10008.1.2.4.104.1",
    "1.2.840.10008.1.2.4.105",
    "1.2.840.10008.1.2.4.105.1",
    "1.2.840.10008.1.2.4.106",
    "1.2.840.10008.1.2.4.106.1",
    "1.2.840.10008.1.2.4.107",  # HEVC
    "1.2.840.10008.1.2.4.108",
    EXPLICIT_BIG,
)
"""In the order in which we choose where one context offers several: what needs no decoder and
loses nothing comes first.

Left out: Deflated, because a megabyte may inflate to a gigabyte before its header can be read, and
JPIP, because the pixels are elsewhere. What no model can decode is stored all the same.
"""


PLAIN_SYNTAXES = (EXPLICIT_LITTLE, IMPLICIT_LITTLE, EXPLICIT_BIG)
"""For what is said and not stored: echoes and identifiers."""


@cache
def storage_classes() -> frozenset[str]:
    """Return every storage SOP class. Nothing is decoded on the way to the disk, so why not all."""
    known = {str(context.abstract_syntax) for context in AllStoragePresentationContexts}
    return frozenset(known.union(_RETIRED))


class ContextResult(IntEnum):
    """What becomes of a proposed presentation context, PS3.8 Table 9-18."""

    ACCEPTANCE = 0
    ABSTRACT_SYNTAX_NOT_SUPPORTED = 3
    TRANSFER_SYNTAXES_NOT_SUPPORTED = 4


def judged(
    sop_class_uid: str, proposed: Collection[str], *, answers_queries: bool = False,
    commits: bool = False,
) -> tuple[ContextResult, str]:  # fmt: skip
    """Return what becomes of one proposed context, and the transfer syntax that we choose.

    The transfer syntax means nothing unless the context is accepted.
    """
    is_query = answers_queries and sop_class_uid in QUERY_RETRIEVE
    is_commitment = commits and sop_class_uid == STORAGE_COMMITMENT
    if sop_class_uid == VERIFICATION or is_query or is_commitment:
        ours: tuple[str, ...] = PLAIN_SYNTAXES
    elif sop_class_uid in storage_classes():
        ours = TRANSFER_SYNTAXES
    else:
        return ContextResult.ABSTRACT_SYNTAX_NOT_SUPPORTED, IMPLICIT_LITTLE
    for transfer_syntax_uid in ours:
        if transfer_syntax_uid in proposed:
            return ContextResult.ACCEPTANCE, transfer_syntax_uid
    return ContextResult.TRANSFER_SYNTAXES_NOT_SUPPORTED, IMPLICIT_LITTLE
