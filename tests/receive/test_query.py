"""A real service user asks on the port that listens, and fetches what it was told of."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import pytest
from pydicom import config
from pydicom.datadict import dictionary_VR
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.tag import Tag
from pydicom.uid import (
    CTImageStorage,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    RLELossless,
)
from pynetdicom import AE, build_context, build_role, evt
from pynetdicom.association import Association
from pynetdicom.pdu_primitives import SOPClassExtendedNegotiation
from pynetdicom.sop_class import (
    PatientRootQueryRetrieveInformationModelFind,
    PatientRootQueryRetrieveInformationModelGet,
    StudyRootQueryRetrieveInformationModelFind,
    StudyRootQueryRetrieveInformationModelGet,
    StudyRootQueryRetrieveInformationModelMove,
    Verification,
)

from tests import phantoms
from tests.holding import SENDER, VIEWER, Holding, holding
from tests.peers.archive import archive
from tests.peers.tools import free_port
from tests.phantoms import STUDY_INSTANCE_UID, ct, mr

PATIENT_FIND = PatientRootQueryRetrieveInformationModelFind
FIND = StudyRootQueryRetrieveInformationModelFind
MOVE = StudyRootQueryRetrieveInformationModelMove
GET = StudyRootQueryRetrieveInformationModelGet
MODELS = (PATIENT_FIND, FIND, MOVE, GET, PatientRootQueryRetrieveInformationModelGet, Verification)


@pytest.fixture(scope="module")
def ports() -> dict[str, int]:
    """Return where the archive that is a destination listens in each test."""
    return {"PACS": free_port(), "DOWN": free_port()}


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory, ports: dict[str, int]) -> Iterator[Holding]:
    """Run a node that holds a CT of five slices, one of them compressed, and an MR of two."""
    with holding(tmp_path_factory.mktemp("node"), destinations=ports) as running:
        slices = ct(slices=5)
        slices[4].compress(RLELossless, generate_instance_uid=False)
        running.take([*slices, *mr(slices=2)])
        yield running


@contextmanager
def asking(
    node: Holding,
    *,
    calling: str = VIEWER,
    takes: Sequence[tuple[str, str]] = (),
    relational: Sequence[str] = (),
    answer: int = 0x0000,
) -> Iterator[tuple[Association, list[Dataset]]]:
    """Open an association for every model; what comes by C-GET is listed."""
    ae, got = AE(calling), []
    ae.acse_timeout = ae.network_timeout = ae.dimse_timeout = 20
    contexts = [*map(build_context, MODELS), *(build_context(*pair) for pair in takes)]
    extended: list[object] = [build_role(uid, scp_role=True) for uid in {uid for uid, _ in takes}]
    for model in relational:
        item = SOPClassExtendedNegotiation()
        item.sop_class_uid, item.service_class_application_information = model, b"\1\1\1"
        extended.append(item)

    def store(event: evt.Event) -> int:
        image = event.dataset
        image.file_meta = event.file_meta
        got.append(image)
        return answer

    association = ae.associate(
        "127.0.0.1",
        node.port,
        contexts,
        ae_title="AI_NODE",
        ext_neg=extended,
        evt_handlers=[(evt.EVT_C_STORE, store)],
    )
    assert association.is_established
    try:
        yield association, got
    finally:
        association.release()


def awake(association: Association) -> None:
    """Wait for pynetdicom's own thread, which may swallow an answer that comes at once."""
    until = time.monotonic() + 5
    while association._is_paused and time.monotonic() < until:
        time.sleep(0.001)


def identifier(level: str, **keys: object) -> Dataset:
    """Return an identifier."""
    made = Dataset()
    made.QueryRetrieveLevel = level
    for keyword, value in keys.items():
        vr = dictionary_VR(keyword)
        made.add(DataElement(Tag(keyword), vr, value, validation_mode=config.IGNORE))
    return made


def found(association: Association, asked: Dataset, model: str = FIND) -> list[Dataset]:
    """Return the answers to a C-FIND that succeeds."""
    awake(association)
    *pending, last = association.send_c_find(asked, model)
    assert last[0].Status == 0x0000, last[0]
    assert all(status.Status == 0xFF00 for status, _ in pending)
    return [answer for _, answer in pending]


def refused(association: Association, asked: Dataset, model: str = FIND) -> int:
    """Return the status of a C-FIND that is not answered."""
    awake(association)
    [(status, answer)] = association.send_c_find(asked, model)
    assert answer is None
    return int(status.Status)


def got_from(
    association: Association, asked: Dataset, model: str = GET
) -> list[tuple[Dataset, Dataset | None]]:
    """Return every response to a C-GET."""
    awake(association)
    return list(association.send_c_get(asked, model))


def retrieved(association: Association, asked: Dataset, model: str = GET) -> list[Dataset]:
    """Return every status of a C-GET."""
    return [status for status, _ in got_from(association, asked, model)]


def moved(
    association: Association, asked: Dataset, destination: str
) -> list[tuple[Dataset, Dataset | None]]:
    """Return every response to a C-MOVE."""
    awake(association)
    return list(association.send_c_move(asked, destination, MOVE))


def test_a_study_is_found_with_what_was_asked_for_and_no_more(node: Holding) -> None:
    """Names are UTF-8, unknown keys come back empty, and it says from where it can be fetched."""
    asked = identifier(
        "STUDY", PatientName="", StudyInstanceUID="", StudyDate="", RequestingPhysician=""
    )
    with asking(node) as (association, _):
        [answer] = found(association, asked)
    assert answer.PatientName == phantoms.CANARY
    assert answer.StudyInstanceUID == STUDY_INSTANCE_UID
    assert (answer.StudyDate, answer.RequestingPhysician) == ("20250102", "")
    assert answer.SpecificCharacterSet == "ISO_IR 192"
    assert (answer.QueryRetrieveLevel, answer.RetrieveAETitle) == ("STUDY", "AI_NODE")
    assert answer.InstanceAvailability == "ONLINE"
    assert len(answer) == 8


def test_the_levels_lead_down_to_the_instances(node: Holding) -> None:
    """A viewer goes from the study to its series and on to their instances."""
    with asking(node) as (association, _):
        series = found(
            association,
            identifier(
                "SERIES", StudyInstanceUID=STUDY_INSTANCE_UID, SeriesInstanceUID="", Modality=""
            ),
        )
        assert sorted(one.Modality for one in series) == ["CT", "MR"]
        [uid] = [one.SeriesInstanceUID for one in series if one.Modality == "CT"]
        images = found(
            association,
            identifier(
                "IMAGE",
                StudyInstanceUID=STUDY_INSTANCE_UID,
                SeriesInstanceUID=uid,
                SOPInstanceUID="",
                InstanceNumber="",
            ),
        )
    assert [one.InstanceNumber for one in images] == [1, 2, 3, 4, 5]


def test_a_patient_is_found_once(node: Holding) -> None:
    """In the Patient Root model, where the patient is a level of its own."""
    asked = identifier("PATIENT", PatientID="", PatientName="", NumberOfPatientRelatedStudies="")
    with asking(node) as (association, _):
        [answer] = found(association, asked, PATIENT_FIND)
    assert (answer.PatientID, answer.PatientName) == ("ZZCANARY-ID", phantoms.CANARY)
    assert answer.NumberOfPatientRelatedStudies == 1


@pytest.mark.parametrize(
    ("asked", "model"),
    [
        pytest.param(identifier("PATIENT", PatientID=""), FIND, id="Study Root has no patients"),
        pytest.param(identifier("FRAME"), FIND, id="there is no such level"),
        pytest.param(Dataset(), FIND, id="no level"),
        pytest.param(identifier("SERIES", SeriesInstanceUID=""), FIND, id="series of any study"),
        pytest.param(
            identifier("SERIES", StudyInstanceUID="1.2*"), FIND, id="series of studies like this"
        ),
        pytest.param(
            identifier("STUDY", StudyInstanceUID=""), PATIENT_FIND, id="studies of any patient"
        ),
    ],
)
def test_a_question_that_does_not_fit_its_model_is_refused(
    node: Holding, asked: Dataset, model: str
) -> None:
    """With 0xA900, and the association goes on."""
    asked.PatientName = ""  # pynetdicom sends no empty data set
    with asking(node) as (association, _):
        assert refused(association, asked, model) == 0xA900
        awake(association)
        assert association.send_c_echo().Status == 0x0000


def test_who_agrees_on_relational_queries_may_leave_out_levels(node: Holding) -> None:
    """Extended negotiation: all series of all studies in one question."""
    asked = identifier("SERIES", SeriesInstanceUID="", Modality="")
    with asking(node, relational=[FIND]) as (association, _):
        assert len(found(association, asked)) == 2
        [agreed] = association.acceptor.sop_class_extended.items()
    assert agreed == (FIND, b"\1\1\1")


def test_who_agrees_on_relational_retrieval_names_only_what_he_wants(node: Holding) -> None:
    """Instances by their own UIDs, wherever they belong."""
    wanted = [one.SOPInstanceUID for one in (ct(slices=5)[2], mr(slices=2)[0])]
    takes = [(uid, ExplicitVRLittleEndian) for uid in (CTImageStorage, mr()[0].SOPClassUID)]
    asked = identifier("IMAGE", SOPInstanceUID=wanted)
    with asking(node, takes=takes, relational=[GET]) as (association, got):
        assert retrieved(association, asked)[-1].Status == 0x0000
    assert {one.SOPInstanceUID for one in got} == set(wanted)
    with asking(node, takes=takes) as (association, got):
        assert [one.Status for one in retrieved(association, asked)] == [0xA900]


@pytest.mark.parametrize(
    ("keys", "count"),
    [
        pytest.param({"PatientName": phantoms.CANARY[:4].lower() + "*"}, 1, id="a name"),
        pytest.param({"StudyDate": "20250101-20250103"}, 1, id="a range of dates"),
        pytest.param({"StudyDate": "-20241231"}, 0, id="another range"),
        pytest.param({"ModalitiesInStudy": "MR"}, 1, id="what was computed"),
        pytest.param({"Modality": "PT"}, 0, id="what a series would have to be"),
        pytest.param({"AccessionNumber": "*", "PatientSex": "F"}, 1, id="anything, and a code"),
    ],
)
def test_keys_are_matched(node: Holding, keys: dict[str, str], count: int) -> None:
    """As PS3.4 C.2.2.2 says, by the archive behind the port."""
    asked = identifier("STUDY", StudyInstanceUID="", **keys)
    with asking(node) as (association, _):
        assert len(found(association, asked)) == count


def test_a_value_that_its_vr_cannot_have_is_refused(node: Holding) -> None:
    """The comment says which key, and not what was written there."""
    asked = identifier("STUDY", StudyInstanceUID="", StudyDate="ZZCANARY")
    with asking(node) as (association, _):
        awake(association)
        [(status, _)] = association.send_c_find(asked, FIND)
    assert status.Status == 0xC000
    assert "StudyDate" in status.ErrorComment
    assert "ZZCANARY" not in status.ErrorComment


def test_a_scanner_may_not_read_what_others_have_sent(node: Holding) -> None:
    """Without `may: [query]` every question is answered with 0x0124."""
    asked = identifier("STUDY", StudyInstanceUID="")
    with asking(node, calling=SENDER, takes=[(CTImageStorage, ExplicitVRLittleEndian)]) as (
        association,
        got,
    ):
        assert refused(association, asked) == 0x0124
        asked.StudyInstanceUID = STUDY_INSTANCE_UID
        assert [one.Status for one in retrieved(association, asked)] == [0x0124]
        assert [one.Status for one, _ in moved(association, asked, "PACS")] == [0x0124]
    assert not got


def test_a_viewer_may_not_store(node: Holding) -> None:
    """Unless it is told that it may."""
    [image] = ct(slices=1)
    ae = AE(VIEWER)
    ae.add_requested_context(CTImageStorage, ExplicitVRLittleEndian)
    association = ae.associate("127.0.0.1", node.port, ae_title="AI_NODE")
    assert association.send_c_store(image).Status == 0x0124
    association.release()


def test_a_study_comes_on_the_same_association(node: Holding) -> None:
    """C-GET: uncompressed objects byte for byte, the others as the asker takes them."""
    takes = [
        (CTImageStorage, ExplicitVRLittleEndian),
        (mr()[0].SOPClassUID, ImplicitVRLittleEndian),
    ]
    with asking(node, takes=takes) as (association, got):
        statuses = retrieved(association, identifier("STUDY", StudyInstanceUID=STUDY_INSTANCE_UID))
    assert statuses[-1].Status == 0x0000
    assert statuses[-1].NumberOfCompletedSuboperations == 7
    assert [status.NumberOfRemainingSuboperations for status in statuses[:-1]] == [
        6,
        5,
        4,
        3,
        2,
        1,
        0,
    ]
    images = {image.SOPInstanceUID: image for image in got}
    for sent in ct(slices=5):
        assert (images[sent.SOPInstanceUID].pixel_array == sent.pixel_array).all()
        assert images[sent.SOPInstanceUID].file_meta.TransferSyntaxUID == ExplicitVRLittleEndian
    for sent in mr(slices=2):
        assert (images[sent.SOPInstanceUID].pixel_array == sent.pixel_array).all()
        assert images[sent.SOPInstanceUID].file_meta.TransferSyntaxUID == ImplicitVRLittleEndian


def test_who_takes_the_compressed_form_gets_it(node: Holding) -> None:
    """Nothing is decoded that need not be."""
    takes = [(CTImageStorage, RLELossless), (CTImageStorage, ExplicitVRLittleEndian)]
    uid = ct(slices=5)[4].SOPInstanceUID
    asked = identifier(
        "IMAGE",
        StudyInstanceUID=STUDY_INSTANCE_UID,
        SeriesInstanceUID=ct(slices=1)[0].SeriesInstanceUID,
        SOPInstanceUID=uid,
    )
    with asking(node, takes=takes) as (association, got):
        assert retrieved(association, asked)[-1].Status == 0x0000
    [image] = got
    assert image.file_meta.TransferSyntaxUID == RLELossless
    assert image.SOPInstanceUID == uid


def test_who_knows_no_other_gets_implicit_vr(node: Holding) -> None:
    """Decoded, and without the VRs that the file has."""
    sent = ct(slices=5)[4]
    asked = identifier(
        "IMAGE",
        StudyInstanceUID=STUDY_INSTANCE_UID,
        SeriesInstanceUID=sent.SeriesInstanceUID,
        SOPInstanceUID=sent.SOPInstanceUID,
    )
    with asking(node, takes=[(CTImageStorage, ImplicitVRLittleEndian)]) as (association, got):
        assert retrieved(association, asked)[-1].Status == 0x0000
    [image] = got
    assert image.file_meta.TransferSyntaxUID == ImplicitVRLittleEndian
    assert (image.pixel_array == sent.pixel_array).all()


def test_what_the_asker_does_not_take_is_listed(node: Holding) -> None:
    """Some came and some did not: 0xB000 and the UIDs of those that are missing."""
    takes = [(CTImageStorage, ExplicitVRLittleEndian)]
    asked = identifier("STUDY", StudyInstanceUID=STUDY_INSTANCE_UID)
    with asking(node, takes=takes) as (association, _):
        *_, (status, failed) = got_from(association, asked)
    assert (status.Status, status.NumberOfFailedSuboperations) == (0xB000, 2)
    assert set(failed.FailedSOPInstanceUIDList) == {one.SOPInstanceUID for one in mr(slices=2)}


@pytest.mark.parametrize(
    ("answer", "status", "keyword"),
    [
        pytest.param(0xA700, 0xA702, "NumberOfFailedSuboperations", id="the asker has no room"),
        pytest.param(0xB000, 0xB000, "NumberOfWarningSuboperations", id="the asker warns"),
    ],
)
def test_the_answers_of_the_asker_are_counted(
    node: Holding, answer: int, status: int, keyword: str
) -> None:
    """If nothing came at all it is a failure, and a warning is a warning."""
    takes = [(CTImageStorage, ExplicitVRLittleEndian)]
    asked = identifier(
        "SERIES",
        StudyInstanceUID=STUDY_INSTANCE_UID,
        SeriesInstanceUID=ct(slices=1)[0].SeriesInstanceUID,
    )
    with asking(node, takes=takes, answer=answer) as (association, _):
        last = retrieved(association, asked)[-1]
    assert (last.Status, last[keyword].value) == (status, 5)


def test_a_retrieval_needs_its_unique_key(node: Holding) -> None:
    """Nobody fetches everything by leaving out what he wants."""
    with asking(node) as (association, _):
        for asked in (
            identifier("STUDY", PatientID="ZZCANARY-ID"),
            identifier("SERIES", StudyInstanceUID=STUDY_INSTANCE_UID),
        ):
            assert [one.Status for one in retrieved(association, asked)] == [0xA900]


def test_what_is_not_here_is_no_failure(node: Holding) -> None:
    """A study that is gone by now has no instances."""
    asked = identifier("STUDY", StudyInstanceUID="1.2.3.4.5")
    with asking(node) as (association, _):
        assert [one.Status for one in retrieved(association, asked)] == [0x0000]
        assert found(association, asked) == []


def test_a_patient_is_fetched_by_his_id_alone_and_by_no_other(node: Holding) -> None:
    """In the Patient Root model; a study of somebody else is not given under his name."""
    model = PatientRootQueryRetrieveInformationModelGet
    takes = [(CTImageStorage, ExplicitVRLittleEndian)]
    with asking(node, takes=takes) as (association, got):
        last = retrieved(association, identifier("PATIENT", PatientID="ZZCANARY-ID"), model)[-1]
        assert (last.Status, len(got)) == (0xB000, 5)
        wrong = identifier("STUDY", PatientID="OTHER", StudyInstanceUID=STUDY_INSTANCE_UID)
        assert [one.Status for one in retrieved(association, wrong, model)] == [0x0000]
        wild = identifier("PATIENT", PatientID="ZZ*")
        assert [one.Status for one in retrieved(association, wild, model)] == [0xA900]


def test_a_move_brings_a_study_to_a_destination(node: Holding, ports: dict[str, int]) -> None:
    """On an association of our own; compressed objects as the destination takes them."""
    takes = [(uid, [ExplicitVRLittleEndian]) for uid in (CTImageStorage, mr()[0].SOPClassUID)]
    asked = identifier("STUDY", StudyInstanceUID=STUDY_INSTANCE_UID)
    with archive(takes, port=ports["PACS"]) as pacs, asking(node) as (association, _):
        statuses = [one for one, _ in moved(association, asked, "PACS")]
    assert (statuses[-1].Status, statuses[-1].NumberOfCompletedSuboperations) == (0x0000, 7)
    assert [one.NumberOfRemainingSuboperations for one in statuses[:-1]] == [6, 5, 4, 3, 2, 1, 0]
    assert set(pacs.uids) == {one.SOPInstanceUID for one in [*ct(slices=5), *mr(slices=2)]}
    assert set(pacs.syntaxes) == {ExplicitVRLittleEndian}


def test_a_move_tells_what_the_destination_refused(node: Holding, ports: dict[str, int]) -> None:
    """A class that it does not take, and a single object that it answers with an error."""
    asked = identifier("STUDY", StudyInstanceUID=STUDY_INSTANCE_UID)
    takes = [(CTImageStorage, [ExplicitVRLittleEndian, RLELossless])]
    answers = {0: 0xA700, 1: 0xB007}
    with (
        archive(takes, lambda number: answers.get(number, 0), port=ports["PACS"]) as pacs,
        asking(node) as (association, _),
    ):
        *_, (last, failed) = moved(association, asked, "PACS")
    assert last.Status == 0xB000
    assert last.NumberOfCompletedSuboperations == 3
    assert last.NumberOfWarningSuboperations == 1
    assert last.NumberOfFailedSuboperations == 3
    gone = {pacs.uids[0], *(one.SOPInstanceUID for one in mr(slices=2))}
    assert set(failed.FailedSOPInstanceUIDList) == gone


@pytest.mark.parametrize(
    ("destination", "status"),
    [
        pytest.param("DOWN", 0xA702, id="nobody listens there"),
        pytest.param("ELSEWHERE", 0xA801, id="nobody has told us where that is"),
        pytest.param(VIEWER, 0xA801, id="who asks is no destination by that"),
    ],
)
def test_a_move_to_nowhere_is_refused(node: Holding, destination: str, status: int) -> None:
    """And says whether the configuration or the destination is to blame."""
    asked = identifier("STUDY", StudyInstanceUID=STUDY_INSTANCE_UID)
    with asking(node) as (association, _):
        *_, (last, _failed) = moved(association, asked, destination)
        assert last.Status == status
        awake(association)
        assert association.send_c_echo().Status == 0x0000
