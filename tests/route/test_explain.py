"""Why does a series go where it goes?"""

from dataclasses import replace

from dicom_ai_node.domain.rule import Input, Route, one_of
from dicom_ai_node.domain.uids import StudyInstanceUID
from dicom_ai_node.route.decide import Answer
from dicom_ai_node.route.explain import explain
from tests.series import model, series, slices

MODELS = {"liver": model("liver", "CT"), "petct": model("petct", "PT", "CT")}
CT_ONLY = Input(name="image", when={"Modality": one_of("CT")})


def route(name: str, *inputs: Input, model: str = "liver") -> Route:
    """Return a route with these inputs."""
    return Route(
        name=name, inputs=inputs, run="segment", model=model, write=("segmentation",), to=()
    )


LIVER = route("liver", CT_ONLY)
PETCT = route(
    "petct",
    Input(name="pet", when={"Modality": one_of("PT")}),
    Input(name="ct", when={"Modality": one_of("CT")}),
    model="petct",
)
CT = series(slices([0, 1, 2], Modality="CT"), "ct")
PET = series(slices([0, 1], Modality="PT"), "pet")


def test_each_series_is_explained() -> None:
    """Facts, takers, and for every other route the reasons."""
    ct, pet = explain([CT, PET], [LIVER, PETCT], MODELS)
    assert ct.taken_by == ("liver", "petct")
    assert not ct.refusals
    assert pet.taken_by == ("petct",)
    assert pet.refusals == {"liver": ("Modality is PT, wanted CT",)}
    assert (pet.facts["slices"], pet.attributes["Modality"]) == (2, "PT")


def test_series_count_as_complete() -> None:
    """Whoever tries a table on files has all of them."""
    ct, _ = explain([CT, PET], [PETCT], MODELS)
    assert ct.decisions[0].answer is Answer.TAKES
    assert {name: len(one.instances) for name, one in ct.decisions[0].chosen.items()} == {
        "pet": 2,
        "ct": 3,
    }


def test_a_pair_without_its_partner_waits() -> None:
    """It is not refused: the route would take it."""
    (ct,) = explain([CT], [PETCT], MODELS)
    assert ct.decisions[0].answer is Answer.WAITS
    assert ct.taken_by == ("petct",)


def test_series_of_other_studies_are_no_partners() -> None:
    """Files of several patients may lie in one folder."""
    pet = series(slices([0, 1], Modality="PT"), "stranger")
    stranger = replace(pet, study_instance_uid=StudyInstanceUID("1.2.3"))
    found = explain([CT, stranger], [PETCT], MODELS)
    assert [one.decisions[0].answer for one in found] == [Answer.WAITS, Answer.WAITS]
