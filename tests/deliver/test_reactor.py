"""Where pynetdicom's threads are faster than its state."""

from pynetdicom import AE
from pynetdicom.association import Association
from pynetdicom.pdu_primitives import A_ASSOCIATE

from dicom_ai_node.deliver.reactor import answer_to


def test_a_rejection_that_was_overlooked_is_still_an_answer() -> None:
    """It says who has to act; silence would only be tried again."""
    association = Association(AE(), "requestor")
    assert answer_to(association) is None
    rejection = A_ASSOCIATE()
    rejection.result, rejection.result_source, rejection.diagnostic = 1, 1, 3
    association.dul.to_user_queue.put(rejection)
    assert answer_to(association) is rejection
