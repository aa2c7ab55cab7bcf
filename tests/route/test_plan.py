"""Which jobs does a complete series give rise to, and what do the other routes say?"""

import itertools
from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dicom_ai_node.domain.job import JobInput
from dicom_ai_node.domain.model import Intensity, ModelInput, Scaling
from dicom_ai_node.domain.reject import RejectCode
from dicom_ai_node.domain.rule import Between, Input, Priority, Route, one_of
from dicom_ai_node.domain.study import Series
from dicom_ai_node.domain.uids import SeriesInstanceUID, Sha256, SOPInstanceUID
from dicom_ai_node.route.plan import Plan, job_key, overdue, plan
from tests.series import NOON, model, series, slices, study

MODELS = {
    "liver": model("liver", "CT"),
    "petct": model("petct", "PT", "CT"),
    "strict": model("strict", "CT", requires={"slices": Between(60)}),
}


def route(name: str = "liver", *inputs: Input, **changes: object) -> Route:
    """Return a route on CT, or on these inputs."""
    plain = Route(
        name=name,
        inputs=inputs or (Input(name="image", when={"Modality": one_of("CT")}),),
        run="segment",
        model="liver",
        write=("segmentation",),
        to=("pacs",),
        revision="r1",
    )
    return replace(plain, **changes)  # type: ignore[arg-type]


PETCT = route(
    "petct",
    Input(name="pet", when={"Modality": one_of("PT")}),
    Input(name="ct", when={"Modality": one_of("CT")}),
    model="petct",
    same=("FrameOfReferenceUID",),
)


def ct(name: str = "ct", count: int = 3, frame: str = "1.2", *, minutes: float = 0, **more: str) -> Series:  # fmt: skip
    """Return a complete CT series."""
    images = slices(range(count), Modality="CT", FrameOfReferenceUID=frame, **more)
    made = series(images, name, last_received=NOON + timedelta(minutes=minutes))
    return replace(made, is_complete=True)


def pet(name: str = "pet", count: int = 2, frame: str = "1.2") -> Series:
    """Return a complete PET series."""
    images = slices(range(count), Modality="PT", FrameOfReferenceUID=frame)
    return replace(series(images, name), is_complete=True)


def still_open(one: Series) -> Series:
    """Return the series as if it were still arriving."""
    return replace(one, is_complete=False)


def planned(completed: Series, *others: Series, routes: tuple[Route, ...] = (PETCT,)) -> Plan:
    """Plan for a series whose study also holds `others`."""
    return plan(study(still_open(completed), *others), still_open(completed), routes, MODELS, NOON)


def test_a_series_that_fits_becomes_a_job() -> None:
    """With all its instances, under the name of the input."""
    urgent = route(priority=Priority.STAT)
    (job,) = planned(ct(), routes=(urgent,)).jobs
    assert (job.route, job.model, job.priority) == ("liver", "liver", Priority.STAT)
    assert job.model_digest == MODELS["liver"].digest
    assert [one.name for one in job.inputs] == ["image"] * 3
    assert {one.sha256 for one in job.inputs} == {one.sha256 for one in ct().instances}
    assert job.created_at == NOON


@pytest.mark.parametrize(
    ("routes", "jobs", "notes"),
    [
        pytest.param((route(),), 1, ["liver takes it: 3 instances"], id="taken"),
        pytest.param(
            (route(), route("other")),
            2,
            ["liver takes it: 3 instances", "other takes it: 3 instances"],
            id="by every route that fits",
        ),
        pytest.param(
            (route("mr", Input(name="image", when={"Modality": one_of("MR"), "slices": Between(9)})),),
            0,
            ["mr does not take it: Modality is CT, wanted MR; slices is 3, wanted at least 9"],
            id="every reason is told",
        ),
        pytest.param(
            (route("cel", Input(name="image", when={}, expression="slices > 9")),),
            0,
            ["cel does not take it: slices > 9 does not hold (slices is 3)"],
            id="an expression",
        ),
        pytest.param(
            (route("any", Input(name="image", when={}), model="petless"),),
            0,
            ["any does not take it: the model petless is not installed"],
            id="no such model",
        ),
        pytest.param(
            (route(model="strict"),),
            1,
            [
                ("liver takes it: 3 instances; the model strict will probably reject image: "
                "slices is 3, wanted at least 60")
            ],
            id="the worker decides on what the model requires",
        ),
        pytest.param((PETCT,), 0, ["petct takes it and waits: for pet, at most 1800 seconds"], id="a pair"),
    ],
)  # fmt: skip
def test_every_route_answers(routes: tuple[Route, ...], jobs: int, notes: list[str]) -> None:
    """A series never vanishes silently: each route says yes, or why not."""
    answer = planned(ct(), routes=routes)
    assert len(answer.jobs) == jobs
    assert list(answer.notes) == notes


def test_a_model_for_another_modality_makes_no_job() -> None:
    """Even if the route was written too generously."""
    everything = route("all", Input(name="image", when={}))
    answer = planned(pet(), routes=(everything,))
    assert not answer.jobs
    assert answer.notes == (
        "all does not take it: the model liver does not take it: Modality is PT, wanted CT",
    )


@pytest.mark.parametrize("first", ["pet", "ct"])
def test_the_series_that_completes_last_brings_the_pair_about(first: str) -> None:
    """In whichever order they come; the job and its key are the same."""
    one, other = (pet(), ct()) if first == "pet" else (ct(), pet())
    assert not planned(one).jobs
    assert not planned(one, still_open(other)).jobs
    (job,) = planned(other, one).jobs
    assert {each.name for each in job.inputs} == {"pet", "ct"}
    assert job.key == planned(pet(), ct()).jobs[0].key


def test_a_pair_waits_while_the_other_input_is_arriving() -> None:
    """And says so."""
    assert planned(pet(), still_open(ct())).notes == (
        "petct takes it and waits: until all of ct has arrived",
    )


def test_inputs_must_share_what_the_route_says() -> None:
    """A CT of another frame of reference is no partner, and the note tells that there is one."""
    answer = planned(pet(), ct(frame="9.9"))
    assert not answer.jobs
    assert answer.notes == (
        (
            "petct takes it and waits: for ct, at most 1800 seconds (one is there, but its "
            "FrameOfReferenceUID is another)"
        ),
    )


def test_a_series_without_what_must_be_shared_is_refused() -> None:
    """It could be paired with anything, so it is paired with nothing."""
    answer = planned(pet(frame=""), ct(frame=""))
    assert not answer.jobs
    assert answer.notes == (
        "petct does not take it: FrameOfReferenceUID must be the same, and here is none",
    )


def test_a_series_for_no_input_says_why_for_each() -> None:
    """One reason per input."""
    mr = series(slices([0], Modality="MR"))
    assert planned(mr).notes == (
        (
            "petct does not take it: as pet: Modality is MR, wanted PT; "
            "as ct: Modality is MR, wanted CT"
        ),
    )


@pytest.mark.parametrize(
    ("partners", "chosen"),
    [
        pytest.param([ct("a", 5), ct("b", 9)], "b", id="most instances"),
        pytest.param([ct("a", 5, minutes=2), ct("b", 5, minutes=1)], "a", id="then the newest"),
        pytest.param([ct("a", 99, frame="9.9"), ct("b", 5)], "b", id="of those that share"),
    ],
)
def test_of_several_series_one_is_picked_by_rule(partners: list[Series], chosen: str) -> None:
    """Whatever the order in which the ledger lists them, and the note says by which rule."""
    wanted = ct(chosen).series_instance_uid
    fitting = [one for one in partners if one.attributes["FrameOfReferenceUID"] == "1.2"]
    for order in itertools.permutations(partners):
        answer = planned(pet(), *order)
        (job,) = answer.jobs
        assert {one.series_instance_uid for one in job.inputs if one.name == "ct"} == {wanted}
        says_rule = "of 2 series that fit: most instances, then newest" in answer.notes[0]
        assert says_rule is (len(fitting) == 2)


def test_a_better_series_that_is_still_arriving_is_waited_for() -> None:
    """Otherwise the order of arrival would decide which CT is shown with the PET."""
    assert not planned(pet(), ct("small", 2), still_open(ct("large", 9))).jobs
    (job,) = planned(ct("large", 9), pet(), ct("small", 2)).jobs
    (late,) = planned(ct("small", 2), pet(), ct("large", 9)).jobs
    assert job.key == late.key
    assert sum(one.name == "ct" for one in job.inputs) == 9


def test_two_inputs_of_the_same_kind_get_a_series_each() -> None:
    """Current and prior may both fit both inputs; no series is compared with itself."""
    pair = route(
        "pair",
        Input(name="large", when={"Modality": one_of("CT")}),
        Input(name="any", when={"Modality": one_of("CT"), "slices": Between(4)}),
    )
    alone = planned(ct("a", 5), routes=(pair,))
    assert not alone.jobs
    assert alone.notes == ("pair takes it and waits: for a series of its own for every input",)
    # Only the larger one fits the second input, so the first input must leave it.
    (job,) = planned(ct("a", 5), ct("b", 3), routes=(pair,)).jobs
    assert sorted(one.name for one in job.inputs) == ["any"] * 5 + ["large"] * 3


INPUTS = st.lists(
    st.builds(
        JobInput,
        st.sampled_from(["pet", "ct"]),
        st.just(SeriesInstanceUID("1.2")),
        st.sampled_from([SOPInstanceUID(f"1.2.{n}") for n in range(9)]),
        st.sampled_from([Sha256(c * 64) for c in "abc"]),
    ),
    unique=True,
    min_size=1,
)


@given(inputs=INPUTS, data=st.data())
def test_the_key_does_not_depend_on_the_order_of_arrival(
    inputs: list[JobInput], data: st.DataObject
) -> None:
    """A series that is sent again in another order is no new job."""
    shuffled = data.draw(st.permutations(inputs))
    assert job_key(route(), Sha256("d"), inputs) == job_key(route(), Sha256("d"), shuffled)


@pytest.mark.parametrize(
    ("other", "digest", "again"),
    [
        pytest.param(route(revision="r2"), "d", ct(), id="another revision of the route"),
        pytest.param(route(options={"threshold": 0.4}), "d", ct(), id="other options"),
        pytest.param(route(), "e", ct(), id="other weights"),
        pytest.param(route(), "d", ct(count=4), id="a late instance"),
        pytest.param(route(), "d", ct("other"), id="another series"),
        pytest.param(
            route("liver", Input(name="scan", when={"Modality": one_of("CT")})), "d", ct(),
            id="another name of the input",
        ),
    ],
)  # fmt: skip
def test_any_change_is_another_job(other: Route, digest: str, again: Series) -> None:
    """What was asked of what decides, and nothing else."""
    before = planned(ct(), routes=(route(),)).jobs[0]
    models = {"liver": replace(MODELS["liver"], digest=Sha256(digest * 64))}
    (after,) = plan(study(again), again, [other], models, NOON + timedelta(days=1)).jobs
    assert before.key != after.key


def test_time_and_priority_do_not_make_another_job() -> None:
    """The same question asked later or more urgently is the same question."""
    before = planned(ct(), routes=(route(),)).jobs[0]
    urgent = route(priority=Priority.STAT)
    after = plan(study(ct()), ct(minutes=9), [urgent], MODELS, NOON + timedelta(days=1)).jobs[0]
    assert before.key == after.key
    assert len(before.key) == 64


@pytest.mark.parametrize(
    ("members", "missing"),
    [
        pytest.param([pet()], ("ct",), id="one input came"),
        pytest.param([pet(), ct(frame="9.9")], ("ct",), id="the other is not a partner"),
        pytest.param([pet(), ct()], None, id="both came"),
        pytest.param([still_open(pet())], None, id="one is still coming"),
        pytest.param([pet(), still_open(ct())], None, id="the other is still coming"),
        pytest.param([], None, id="none came"),
    ],
)
def test_a_route_gives_up_when_its_time_is_over(
    members: list[Series], missing: tuple[str, ...] | None
) -> None:
    """It names what is missing, but not while something that fits is on its way."""
    found = overdue(study(*members), [PETCT, route()], MODELS)
    assert [one.missing for one in found] == ([] if missing is None else [missing])
    for one in found:
        assert one.code is RejectCode.IN_MISSING_INPUT
        assert set(one.series) == {each.series_instance_uid for each in members}
        assert one.note == "IN_MISSING_INPUT: petct waited 1800 seconds for ct in vain"


def test_a_route_gives_up_only_what_it_would_have_taken() -> None:
    """What its model declines was never waited with, nor does a route without a model wait."""
    anything = replace(PETCT, inputs=(Input(name="pet", when={}), PETCT.inputs[1]))
    mr = replace(
        series(slices([0], Modality="MR", FrameOfReferenceUID="1.2"), "mr"), is_complete=True
    )
    assert not overdue(study(mr), [anything], MODELS)
    assert not overdue(study(pet()), [PETCT], {})
    (found,) = overdue(study(pet(), mr), [anything], MODELS)
    assert found.series == (pet().series_instance_uid,)


def test_a_plan_says_until_when_each_route_waits() -> None:
    """Counted from the completion of the last series that fits; who takes or refuses waits for nothing."""
    patient = replace(PETCT, name="patient", wait_seconds=7200)
    found = planned(ct(), routes=(route(), PETCT, patient)).waits
    assert found == {
        "petct": NOON + timedelta(seconds=1800), "patient": NOON + timedelta(seconds=7200),
    }  # fmt: skip
    assert not planned(ct(), pet()).waits


MODELS["told"] = model(
    "told",
    "PT",
    "CT",
    "SR",
    inputs={
        name: ModelInput(modality=(modality,), intensity=Intensity(scaling=Scaling.ZSCORE))
        for name, modality in (("pet", "PT"), ("ct", "CT"))
    },
    reference="ct",
    documents=("labs",),
)
TOLD = route(
    "told",
    *PETCT.inputs,
    Input(name="labs", when={"Modality": one_of("SR")}),
    model="told",
    same=("FrameOfReferenceUID",),
)


def labs(name: str = "labs") -> Series:
    """Return a complete series of one structured report, which has no frame of reference."""
    report = slices(range(1), Modality="SR")
    return replace(series(report, name), is_complete=True)


def test_a_job_does_not_wait_for_a_report_that_may_never_come() -> None:
    """With the images alone it begins; a report in the study goes with them."""
    (without,) = planned(pet(), ct(), routes=(TOLD,)).jobs
    (beside,) = planned(pet(), ct(), labs(), routes=(TOLD,)).jobs
    assert {each.name for each in without.inputs} == {"pet", "ct"}
    assert {each.name for each in beside.inputs} == {"pet", "ct", "labs"}
    assert beside.key != without.key
    assert (without.supersedes, beside.supersedes) == (None, without.key)


def test_a_report_that_comes_last_makes_the_job_again() -> None:
    """The new one replaces what was said without it."""
    before = planned(pet(), ct(), routes=(TOLD,)).jobs[0]
    (job,) = planned(labs(), pet(), ct(), routes=(TOLD,)).jobs
    assert {each.name for each in job.inputs} == {"pet", "ct", "labs"}
    assert job.supersedes == before.key


def test_a_report_that_is_still_arriving_is_waited_for() -> None:
    """It is there in a moment, and one job is better than two."""
    answer = planned(pet(), ct(), still_open(labs()), routes=(TOLD,))
    assert answer.notes == ("told takes it and waits: until all of labs has arrived",)


@pytest.mark.parametrize("others", [(), (pet(),), (still_open(pet()), still_open(ct()))])
def test_a_report_alone_makes_nobody_wait(others: tuple[Series, ...]) -> None:
    """When the images come, it is here; if they never come, nobody misses anything."""
    answer = planned(labs(), *others, routes=(TOLD,))
    assert not answer.jobs
    assert not answer.waits
    assert answer.notes == (
        "told does not take it: it is told beside images that are not here yet",
    )


def test_what_waited_in_vain_is_an_image_and_not_a_report() -> None:
    """A report that never came is not missing."""
    both = study(pet(), ct())
    assert overdue(both, (TOLD,), MODELS) == ()
    (late,) = overdue(study(pet(), labs()), (TOLD,), MODELS)
    assert late.missing == ("ct",)


MODELS["motion"] = model("motion", "US", outline="mask")
MASKED = route(
    "masked",
    Input(name="cine", when={"Modality": one_of("US")}),
    Input(name="mask", when={"Modality": one_of("SEG")}),
    model="motion",
)


def _of(modality: str) -> Series:
    return replace(series(slices(range(1), Modality=modality), modality), is_complete=True)


@pytest.mark.parametrize("last", ["US", "SEG"])
def test_a_cine_waits_for_the_segmentation_that_says_what_to_follow(last: str) -> None:
    """Whichever comes last makes the job; the segmentation alone is no reason for one."""
    first = "SEG" if last == "US" else "US"
    waiting = planned(_of(first), routes=(MASKED,))
    assert (waiting.jobs, list(waiting.waits)) == ((), ["masked"])
    (job,) = planned(_of(last), _of(first), routes=(MASKED,)).jobs
    assert {each.name for each in job.inputs} == {"cine", "mask"}


def test_a_segmentation_is_no_cine() -> None:
    """A route without an input for it does not take it, whatever its conditions."""
    alone = route("alone", Input(name="cine", when={}), model="motion")
    assert not planned(_of("SEG"), routes=(alone,)).jobs
    assert planned(_of("US"), routes=(alone,)).jobs
