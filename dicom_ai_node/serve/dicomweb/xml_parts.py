"""Data sets as XML: each a document in a part of its own, PS3.18 8.7.3.2."""

from collections.abc import Iterable, Iterator
from secrets import token_hex

from dicom_ai_node.domain.archive import Header
from dicom_ai_node.domain.native_model import XML, xml_of
from dicom_ai_node.serve.dicomweb.accept import Offer
from dicom_ai_node.serve.dicomweb.multipart import Message, Part
from dicom_ai_node.serve.dicomweb.sending import Piece

XML_PARTS = Offer(media_type=XML, is_multipart=True)


def xml_message(headers: Iterable[Header], tag: str = "") -> tuple[str, Iterator[Piece]]:
    """Return the Content-Type of a message and the message, which needs at least one data set.

    Its boundary follows from `tag`; without one nobody can foretell it, and put it into a value.
    """
    message = Message(XML, tag or token_hex(16))
    return message.content_type, message.pieces(Part(XML, [xml_of(one)]) for one in headers)
