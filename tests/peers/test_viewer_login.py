"""A radiologist with an account: from the login to the images, and what is said when it is over."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from pydicom import Dataset, dcmread

from dicom_ai_node import compose
from dicom_ai_node.samples.studies import SAMPLES
from tests.journey.node import ROOT, Node, running, storescu
from tests.peers.browser import Browser, Page
from tests.peers.ohif import Ohif, is_quiet, tarball
from tests.peers.overlay import lies_right
from tests.peers.tools import find, free_port

pytestmark = pytest.mark.timeout(900)

ROUTES = """\
  - name: hippocampus
    when: {Modality: MR}
    run: segment
    model: hippocampus_mr
    write: [segmentation]
    to: [results]
"""
NAME, PASSWORD = "radiologist", "correct horse battery"
ENDED = "document.getElementById('session-ended')"


@dataclass(frozen=True)
class House:
    """A node that asks for a login, with one study and what it found in it."""

    node: Node
    url: str
    browser: Browser
    pictures: Path
    study: str
    segmentation: Dataset

    @property
    def viewer(self) -> str:
        """Return the address of the study in the viewer, below the node."""
        return f"/viewer/viewer?StudyInstanceUIDs={self.study}"

    def log_in(self, page: Page) -> None:
        """Fill in the form, as somebody does who has been led to it."""
        page.wait("location.pathname === '/login' && document.querySelector('form')", 60)
        for field, text in (("name", NAME), ("password", PASSWORD)):
            page.click(f"input[name={field}]")
            page.write(text)
        page.click("main button")

    def end_sessions(self) -> None:
        """Let whoever is logged in be so no longer, as the end of the time does."""
        accounts = compose.accounts(compose.settings(self.node.config))
        there = accounts.sessions(NAME, compose.now())
        assert there
        for one in there:
            accounts.end_session(NAME, one.number)

    def opened(self) -> Ohif:
        """Open the study as somebody who has logged in."""
        page = self.browser.page()
        page.open(f"{self.url}{self.viewer}")
        self.log_in(page)
        viewer = Ohif(page)
        viewer.confirm()
        return viewer


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """Start a node with one account, install the viewer, send a study, wait for its result."""
    find("chromium")
    release = tarball()
    folder = tmp_path_factory.mktemp("house")
    port = free_port()
    node = Node(
        folder / "node",
        ROUTES,
        f"  results: {{folder: {folder / 'results'}}}\n",
        quiet_seconds=1,
        extra=f"serve: {{port: {port}}}\n",
    )
    _command(node, "viewer", "install", "--from", str(release))
    _command(node, "users", "add", NAME, "--role", "viewer", "--no-must-change", said=PASSWORD)
    (sample,) = (one for one in SAMPLES if one.name == "mr-hippocampus")
    paths = []
    for number, dataset in enumerate(sample.make()):
        paths.append(folder / f"{number}.dcm")
        dataset.save_as(paths[-1], enforce_file_format=True)
    with running(node), Browser(folder) as browser:
        sent = storescu(node.port, paths)
        assert sent.returncode == 0, sent.stderr
        node.ended(1, 400)
        (result,) = (dcmread(path) for path in (folder / "results").rglob("*.dcm"))
        yield House(
            node,
            f"http://127.0.0.1:{port}",
            browser,
            folder / "pictures",
            str(result.StudyInstanceUID),
            result,
        )


def _command(node: Node, *words: str, said: str = "") -> None:
    subprocess.run(
        [sys.executable, "-m", "dicom_ai_node", *words, "--config", str(node.config)],
        cwd=ROOT, check=True, capture_output=True, input=f"{said}\n".encode(),
    )  # fmt: skip


def test_from_the_login_to_the_segmentation_it_is_one_click_in_the_console(house: House) -> None:
    """The cookie of the session opens images and results; nothing is refused on the way."""
    page = house.browser.page()
    page.open(f"{house.url}/studies/{house.study}")
    house.log_in(page)
    page.wait(f"location.pathname === '/studies/{house.study}'", 60)
    page.wait("document.getElementById('line').classList.contains('good')", 60)
    # Of the two links the one beside the result.
    result = f"/viewer/viewer?StudyInstanceUIDs={house.study}&initialSeriesInstanceUID={house.segmentation.SeriesInstanceUID}"
    page.click(f"a[href='{result}']")
    viewer = Ohif(page)
    viewer.confirm()
    viewer.wait_for_segments()
    lies_right(viewer, house.segmentation, house.pictures / "segmentation.png")
    assert is_quiet(page, house.url) == {}
    assert [one["name"] for one in page.cookies() if one["httpOnly"]] == ["dicom_ai_node_session"]
    page.close()


def test_who_is_not_logged_in_comes_back_from_the_login_to_the_study(house: House) -> None:
    """Not to the first page; until then the viewer loads nothing."""
    page = house.browser.page()
    page.open(f"{house.url}{house.viewer}")
    page.wait("location.pathname === '/login'", 60)
    assert [one for one in page.requests if "/dicom-web/" in one] == []
    house.log_in(page)
    viewer = Ohif(page)
    viewer.confirm()
    assert page.js("location.pathname + location.search") == house.viewer
    viewer.settle()
    assert is_quiet(page, house.url) == {}
    page.close()


def _asks_for_the_result(viewer: Ohif, house: House) -> None:
    viewer.show("SEG", house.segmentation.SeriesDescription)


def _asks_for_a_slice(viewer: Ohif, house: House) -> None:
    (group, *_) = house.segmentation.PerFrameFunctionalGroupsSequence
    viewer.page.js("cornerstone.cache.purgeCache()")
    source = group.DerivationImageSequence[0].SourceImageSequence[0]
    viewer.go_to(source.ReferencedSOPInstanceUID)


@pytest.mark.parametrize(
    "ask",
    [
        pytest.param(_asks_for_the_result, id="a result"),
        pytest.param(_asks_for_a_slice, id="a slice"),
    ],
)
def test_a_session_that_has_ended_is_told_and_the_login_leads_back(
    ask: Callable[[Ohif, House], None], house: House
) -> None:
    """As soon as something more is wanted, over the images, which stay."""
    viewer = house.opened()
    viewer.settle()
    page = viewer.page
    house.end_sessions()
    ask(viewer, house)
    page.wait(ENDED, 60)
    assert page.js(f"{ENDED}.innerText").startswith("Your session has ended")
    page.picture(house.pictures / "ended.png")
    page.click("#session-ended a")
    house.log_in(page)
    again = Ohif(page)
    assert page.js("location.pathname + location.search") == house.viewer
    again.settle()
    page.close()


def test_who_loads_the_viewer_again_after_the_end_is_asked_to_log_in(house: House) -> None:
    """At the study and in the list: nobody waits for a page that stays empty."""
    viewer = house.opened()
    page = viewer.page
    house.end_sessions()
    page.tell("Page.reload")
    house.log_in(page)
    Ohif(page)
    assert page.js("location.pathname + location.search") == house.viewer
    house.end_sessions()
    page.open(f"{house.url}/viewer/")
    house.log_in(page)
    page.wait("document.body.innerText.includes('HIPPOCAMPUS')", 60)
    page.close()
