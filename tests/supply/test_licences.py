"""Nothing comes along under a licence that nobody has allowed."""

from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from deploy.supply.__main__ import app
from deploy.supply.closure import Incomplete, closure
from deploy.supply.policy import policy
from tests.supply.planted import plant, rules


def _judged(folder: Path, more: str = "") -> Result:
    said = rules(folder, more)
    return CliRunner().invoke(app, ["licences", "--policy", str(said), "--path", str(folder)])


def test_what_is_installed_here_is_allowed() -> None:
    """The gate of `make check`: the product and everything that it brings along."""
    done = CliRunner().invoke(app, ["licences"])
    assert done.exit_code == 0, done.output
    parts = closure("dicom-ai-node")
    assert len(parts) > 60
    assert {"torch", "psycopg-binary", "pydantic-core"} <= parts.keys()
    assert not {"pytest", "pip-audit", "pylibjpeg-libjpeg"} & parts.keys()


@pytest.mark.parametrize(
    ("name", "said", "why"),
    [
        ("evil", "License-Expression: GPL-3.0-or-later", "evil is under GPL-3.0-or-later"),
        ("evil", "License-Expression: MIT AND AGPL-3.0-only", "evil is under MIT AND AGPL-3.0-only"),
        ("evil", "Classifier: License :: OSI Approved :: GNU General Public License v3 (GPLv3)", "evil is under GPL-3.0-only"),
        ("evil", "Classifier: License :: OSI Approved :: Some New License", "evil is under (Some New License)"),
        ("evil", "License: GPL", "evil is under GPL"),
        ("evil", "", "evil does not say under which licence it is"),
        ("pylibjpeg-libjpeg", "License-Expression: MIT", "pylibjpeg-libjpeg is forbidden (GPL-3.0)"),
    ],
)  # fmt: skip
def test_a_bad_one_is_named_with_who_requires_it(
    tmp_path: Path, name: str, said: str, why: str
) -> None:
    """However deep it lies, and whatever it says of itself where it is known to be forbidden."""
    plant(tmp_path, "dicom-ai-node", needs=["middle>=1"])
    plant(tmp_path, "middle", needs=[f"{name}>=1"])
    plant(tmp_path, name, said=said)
    done = _judged(tmp_path)
    assert done.exit_code == 1
    assert done.output.startswith(why)
    assert done.output.strip().endswith(f"; dicom-ai-node > middle > {name}")


@pytest.mark.parametrize(
    "said",
    [
        pytest.param("License-Expression: GPL-3.0-only OR MIT", id="a choice"),
        pytest.param("License: MIT", id="an old field"),
        pytest.param("Classifier: License :: OSI Approved :: MIT License", id="a classifier"),
        pytest.param("License-Expression: (MIT AND Apache-2.0) OR GPL-2.0-only", id="brackets"),
    ],
)
def test_a_good_one_passes(tmp_path: Path, said: str) -> None:
    """In every way in which metadata have said it."""
    plant(tmp_path, "dicom-ai-node", needs=["fine"])
    plant(tmp_path, "fine", said=said)
    assert _judged(tmp_path).exit_code == 0


def test_an_exception_is_for_the_licence_that_was_looked_at(tmp_path: Path) -> None:
    """When that changes, somebody looks again; without a reason there is none."""
    plant(tmp_path, "dicom-ai-node", needs=["lesser-binary"])
    plant(tmp_path, "lesser-binary", said="License-Expression: LGPL-3.0-only")
    table = '[tool.supply.licence-exceptions]\n"lesser*" = {{ licence = "{0}", reason = "{1}" }}\n'
    assert _judged(tmp_path, table.format("LGPL-3.0-only", "looked at")).exit_code == 0
    assert _judged(tmp_path, table.format("LGPL-2.1-only", "looked at")).exit_code == 1
    assert _judged(tmp_path, table.format("", "it says none")).exit_code == 1
    with pytest.raises(ValueError, match="needs a reason"):
        policy(rules(tmp_path, table.format("LGPL-3.0-only", " ")))


def test_the_closure_follows_extras_and_markers(tmp_path: Path) -> None:
    """What only another machine or our tests need does not count; an extra of the product does."""
    plant(
        tmp_path, "dicom-ai-node",
        needs=["a[more]", "b; sys_platform == 'nowhere'", "c; extra == 'test'",
               "d; extra == 'gpu'", "absent; extra == 'gpu'"],
    )  # fmt: skip
    plant(tmp_path, "a", needs=["e; extra == 'more'", "f; extra == 'other'"])
    for name in "bcdef":
        plant(tmp_path, name)
    parts = closure("dicom-ai-node", ["gpu"], [str(tmp_path)])
    assert parts.keys() == {"dicom-ai-node", "a", "d", "e"}
    assert [name for name, part in parts.items() if part.is_optional] == ["d"]


def test_what_is_not_installed_cannot_be_judged(tmp_path: Path) -> None:
    """Half an environment would pass every gate."""
    plant(tmp_path, "dicom-ai-node", needs=["middle"])
    plant(tmp_path, "middle", needs=["gone"])
    with pytest.raises(Incomplete, match="gone is not installed, and dicom-ai-node > middle req"):
        closure("dicom-ai-node", (), [str(tmp_path)])
