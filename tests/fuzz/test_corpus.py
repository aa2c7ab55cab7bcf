"""What the fuzzer has ever found interesting ends as it should: taken, or refused with a reason."""

import pytest

from tests.fuzz.corpus import kept
from tests.fuzz.targets import TARGETS, Target, read

EVERY = pytest.mark.parametrize(
    "target", [pytest.param(one, id=name) for name, one in TARGETS.items()]
)


@EVERY
def test_seeds_are_taken(target: Target) -> None:
    """Otherwise all that grows from them would be refused at the door."""
    for seed in target.seeds():
        assert read(target, seed) == ""


@EVERY
def test_nothing_of_the_corpus_is_a_bug(target: Target) -> None:
    """Each input is taken or refused; nothing is raised that nobody expects."""
    inputs = kept(target.name)
    assert len(inputs) > 20
    for data in inputs:
        read(target, data)
