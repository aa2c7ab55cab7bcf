"""The console in a real browser: nothing broken, nothing from elsewhere, readable for everybody.

The pictures go to the folder that `CONSOLE_PICTURES` names, where it names one.
"""

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from dicom_ai_node import compose
from dicom_ai_node.domain.audit import Act, Actor, Outcome
from dicom_ai_node.domain.devices import DeviceUse
from dicom_ai_node.domain.happenings import changed, login
from dicom_ai_node.domain.job import Stage
from dicom_ai_node.domain.progress import Phase
from dicom_ai_node.serve.console.page import NAVIGATION
from dicom_ai_node.web import WebServer
from tests.peers.axe import axe, trouble
from tests.peers.browser import Browser, Page
from tests.serve.console.node import EVIL, ConsoleNode, ct

pytestmark = [pytest.mark.peer, pytest.mark.timeout(900)]

CPU = DeviceUse(at=compose.now(), machine="box", device="cpu", slots=2, busy=0.9)
GPU = replace(
    CPU, device="cuda:0", slots=1, busy=0.7, gpu=0.6, gpu_used_bytes=9 * 2**30, gpu_bytes=24 * 2**30
)
SCREENS = {
    "light": {"width": 1360, "height": 900},
    "dark": {"width": 1360, "height": 900, "dark": True},
    "phone": {"width": 390, "height": 844},
    "dark-phone": {"width": 390, "height": 844, "dark": True},
}


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ConsoleNode]:
    """Run a console that has something to show."""
    made = ConsoleNode(tmp_path_factory.mktemp("console"))
    made.encoded(made.routed(ct("delivered", PatientName="Larch^Ada", PatientID="L-1")))
    made.sent()
    made.encoded(made.routed(ct("refused", PatientName="Birch^Bo", PatientID="B-2")))
    made.sent("0xA900 data set does not match SOP class")
    made.parked(made.routed(ct("evil", PatientName=EVIL, SeriesDescription=EVIL)), note=EVIL)
    held = made.claimed(made.routed(ct("running", PatientName="Oak^Ola")))
    made.says(held, Phase.RUNNING, 0.25)
    made.worked(CPU, GPU)
    made.put(ct("arriving", PatientName="Elm^Eve"))
    made.aside(b"no DICOM at all")
    trail = compose.trail(made.config)
    trail.note(login(Act.LOGIN, Actor(name="anna", address="192.0.2.7"), compose.now()))
    trail.note(
        changed(Act.SECURITY_ROLES, Actor(name="root"), "user anna is an admin", compose.now())
    )
    trail.note(login(Act.LOGIN, Actor(name=EVIL), compose.now(), Outcome.MINOR_FAILURE))
    compose.auditor(made.config).seal_all()
    server = WebServer(made.config)
    server.start()
    yield made
    server.close()


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """Run one browser for all tests."""
    with Browser(tmp_path_factory.mktemp("browser")) as running:
        yield running


@pytest.fixture(scope="module")
def address(node: ConsoleNode) -> str:
    """Return where the console is."""
    return f"http://127.0.0.1:{node.port}"


def _places(node: ConsoleNode) -> dict[str, str]:
    """Return a page of every kind."""
    (parked,) = [job for job in node.ledger.jobs([Stage.PARKED]) if "0xA900" in job.note]
    study = f"/studies/{ct('delivered').StudyInstanceUID}"
    return {
        **{name: path for name, path, _ in NAVIGATION},
        "study": study,
        "explained": f"{study}/explain",
        "job": f"/jobs/{parked.name}",
        "job-running": f"/jobs/{node.ledger.jobs([Stage.INFERRING])[0].name}",
        "study-running": f"/studies/{ct('running').StudyInstanceUID}",
        "model": "/models/lung_box_cxr",
        "entry": "/quarantine/1",
        "record": "/trail/2",
        "help": "/help",
        "trouble": "/studies/1.2.3",
    }


@pytest.mark.parametrize("screen", SCREENS)
def test_every_page_can_be_used_by_everybody(
    node: ConsoleNode, browser: Browser, address: str, screen: str
) -> None:
    """No rule of WCAG 2.2 AA is broken, nothing is wider than the screen, nothing is complained of."""
    page = browser.page(**SCREENS[screen])
    script = axe()
    wrong: list[str] = []
    for name, path in _places(node).items():
        page.open(f"{address}{path}")
        page.wait("document.documentElement.classList.contains('scripted')", 20)
        found = trouble(page, script)
        wide = page.js(
            "document.documentElement.scrollWidth - document.documentElement.clientWidth"
        )
        if wide > 0:
            found.append(f"{wide} px too wide")
        wrong += [f"{name}: {one}" for one in found]
        if folder := os.environ.get("CONSOLE_PICTURES"):
            page.picture(Path(folder) / f"{name}-{screen}.png", whole=True)
    complaints = [one for one in page.errors if "/studies/1.2.3" not in one]
    strangers = page.strangers(address)
    page.close()
    assert wrong == [], "\n".join(wrong)
    # The darkroom may be busy, and a picture is then asked for again.
    assert [one for one in complaints if "503" not in one and "40" not in one] == []
    assert strangers == []


def _opened(browser: Browser, url: str) -> Page:
    page = browser.page()
    page.open(url)
    page.wait("document.getElementById('line').classList.contains('good')", 30)
    return page


def test_a_study_that_arrives_appears_by_itself(
    node: ConsoleNode, browser: Browser, address: str
) -> None:
    """On the page that is open; a name that would like to be a script stays text."""
    page = _opened(browser, f"{address}/studies")
    assert "Rowan" not in page.text()
    page.wait("document.querySelectorAll('.thumb img.here').length >= 3", 120)
    asked = len([one for one in page.requests if one.endswith("/thumbnail")])
    node.put(ct("rowan", PatientName=f"Rowan^{EVIL}"))
    page.wait("document.body.innerText.includes('Rowan')", 30)
    assert EVIL in page.text()
    page.rest(1)
    # Pictures that are there are not asked for again.
    assert page.js("document.querySelectorAll('.thumb img.here').length") >= 3
    drawn = [one for one in page.requests if one.endswith("/thumbnail")]
    assert len(drawn) <= asked + 2
    page.close()


def test_how_far_a_job_is_moves_by_itself(
    node: ConsoleNode, browser: Browser, address: str
) -> None:
    """Only the bar and its words are asked for again, not the page around them."""
    (job,) = node.ledger.jobs([Stage.INFERRING])
    for path in (f"/studies/{job.study_instance_uid}", f"/jobs/{job.name}", "/workers"):
        node.says(job, Phase.RUNNING, 0.25)
        page = _opened(browser, f"{address}{path}")
        page.wait("document.querySelector('.running progress').value === 25", 30)
        assert "running the model 25 %" in page.text()
        node.says(job, Phase.EXPLAINING, 0.75)
        page.wait("document.querySelector('.running progress').value === 75", 30)
        assert "making a heat map 75 %" in page.text()
        assert page.js("document.querySelectorAll('.running').length") == 1
        if path != "/workers":  # which is asked for every five seconds
            assert page.requests.count(f"{address}{path}") == 1
        page.close()


def test_a_job_is_retried_after_a_question(
    node: ConsoleNode, browser: Browser, address: str
) -> None:
    """Cancel does nothing; yes puts it back to work and says so."""
    (job,) = [one for one in node.ledger.jobs([Stage.PARKED]) if one.note == EVIL]
    page = _opened(browser, f"{address}/jobs/{job.name}")
    page.click("form[action$='/retry'] button")
    page.wait("document.getElementById('ask').open", 10)
    page.click("#ask button[value='no']")
    page.wait("!document.getElementById('ask').open", 10)
    page.click("form[action$='/retry'] button")
    page.wait("document.getElementById('ask').open", 10)
    page.click("#ask button[value='yes']")
    page.wait("document.body.innerText.includes('The job is back at work.')", 30)
    found = node.ledger.job(job.key)
    assert found is not None
    assert found.stage is Stage.READY
    page.close()


def test_keys_lead_from_page_to_page(browser: Browser, address: str) -> None:
    """Two letters to a page, a question mark to the help."""
    page = _opened(browser, f"{address}/")
    for key in "gj":
        page.press(key)
    page.wait("location.pathname === '/jobs'", 20)
    page.wait("document.readyState === 'complete'", 20)
    page.press("?")
    page.wait("location.pathname === '/help'", 20)
    page.close()


def test_a_choice_is_kept(browser: Browser, address: str) -> None:
    """Language and theme, from page to page."""
    page = _opened(browser, f"{address}/jobs")
    page.click("button[formaction='/preferences?theme=dark']")
    page.wait("document.documentElement.dataset.theme === 'dark'", 20)
    page.click("button[formaction='/preferences?language=zh']")
    page.wait("document.documentElement.lang === 'zh-Hans'", 20)
    assert page.js("location.pathname") == "/jobs"
    assert page.js("document.documentElement.dataset.theme") == "dark"
    assert "任务" in page.text()
    page.close()


def test_a_dropped_file_is_explained(browser: Browser, address: str, tmp_path: Path) -> None:
    """By the routes of this node, without being stored; its texts stay text."""
    path = tmp_path / "one.dcm"
    ct("dropped", SeriesDescription=EVIL).save_as(path, enforce_file_format=True)
    page = _opened(browser, f"{address}/routes")
    found = page.tell("DOM.getDocument")["root"]["nodeId"]
    field = page.tell("DOM.querySelector", nodeId=found, selector="#drop-file")["nodeId"]
    page.tell("DOM.setFileInputFiles", nodeId=field, files=[str(path)])
    page.wait("document.querySelector('#answer .says')", 30)
    text = page.js("document.getElementById('answer').innerText")
    assert EVIL in text
    assert "does not take it" in text
    page.close()


def test_without_a_script_everything_can_be_read_and_done(browser: Browser, address: str) -> None:
    """The menu is open, times are in UTC, forms are forms."""
    page = browser.page(width=390, height=844)
    page.without_scripts()
    page.open(f"{address}/jobs")
    text = page.text()
    for told in ("Storage", "UTC", "Filter", "not live"):
        assert told in text, told
    page.close()
