"""How far a leg is, as it is told from the middle of the work."""

import pytest

from dicom_ai_node.domain.progress import Phase, Progress, along, done, during, heard_by, share


def test_parts_lie_within_what_they_are_parts_of() -> None:
    """A loop in a phase tells of the whole leg, and never goes beyond its own share of it."""
    heard: list[Progress] = []
    with heard_by(heard.append):
        with during(Phase.READING, 0, 0.2):
            assert list(along("ab")) == ["a", "b"]
        with during(Phase.RUNNING, 0.2, 1):
            for place in range(2):
                with share(place, 2), during(Phase.EXPLAINING, 0.5, 1):
                    done(0.5)
    assert heard == [
        Progress(Phase.READING, 0.0),
        Progress(Phase.READING, 0.1),
        Progress(Phase.READING, 0.2),
        Progress(Phase.RUNNING, 0.2),
        Progress(Phase.EXPLAINING, pytest.approx(0.4)),
        Progress(Phase.EXPLAINING, pytest.approx(0.5)),
        Progress(Phase.RUNNING, pytest.approx(0.6)),
        Progress(Phase.EXPLAINING, pytest.approx(0.8)),
        Progress(Phase.EXPLAINING, pytest.approx(0.9)),
        Progress(Phase.RUNNING, pytest.approx(1.0)),
    ]


@pytest.mark.parametrize(("said", "heard"), [(1.5, 0.4), (-1.0, 0.2)])
def test_who_counts_wrongly_stays_in_his_share(said: float, heard: float) -> None:
    """More windows than were expected are no more than all."""
    told: list[Progress] = []
    with heard_by(told.append), during(Phase.RUNNING, 0.2, 0.4):
        done(said)
    assert told[-1].part == pytest.approx(heard)


def test_nobody_needs_to_listen() -> None:
    """The same code runs in training and in tests, where nobody asks how far it is."""
    with during(Phase.RUNNING), share(0, 1):
        assert list(along([1, 2])) == [1, 2]


def test_what_proves_itself_is_not_heard() -> None:
    """A golden test runs the same task, which is not what the job is doing."""
    heard: list[Progress] = []
    with heard_by(heard.append), during(Phase.LOADING):
        with heard_by(None), during(Phase.RUNNING):
            done(0.7)
        done(1)
    assert {one.phase for one in heard} == {Phase.LOADING}


def test_an_error_ends_the_phase() -> None:
    """What comes after a failure is told of the phase that it is in."""
    heard: list[Progress] = []
    with heard_by(heard.append), during(Phase.READING):
        with pytest.raises(ValueError, match="wrong"), share(0, 2), during(Phase.RUNNING):
            raise ValueError("wrong")
        done(0.5)
    assert heard[-1] == Progress(Phase.READING, 0.5)
