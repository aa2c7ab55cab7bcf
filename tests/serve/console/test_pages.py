"""Every page shows what is there, in the reader's language, and nothing of a stranger is markup."""

import re
from pathlib import Path

import pytest
from sqlalchemy import text as text_of

from dicom_ai_node import compose
from dicom_ai_node.domain.audit import Act, Actor, Outcome
from dicom_ai_node.domain.happenings import changed, login
from dicom_ai_node.serve.console.page import NAVIGATION
from dicom_ai_node.store.engines import open_database
from tests.serve.console.node import EVIL, ConsoleNode, ct
from tests.serve.house import NOON

PAGES = [path for _, path, _ in NAVIGATION]


def _uid(study: str) -> str:
    return str(ct(study).StudyInstanceUID)


def _everything(node: ConsoleNode) -> list[str]:
    """Return the address of every page that this node has."""
    jobs = [f"/jobs/{job.name}" for job in node.ledger.jobs()]
    studies = [f"/studies/{_uid(one)}" for one in ("delivered", "refused", "evil", "arriving")]
    aside = [f"/quarantine/{one.number}" for one in node.ledger.quarantined()]
    more = [f"/similar?study={_uid('evil')}", f"{studies[2]}/explain", "/help", "/jobs/abcdef"]
    return [*PAGES, *jobs, *studies, *aside, *more, "/models/ct_tissue", "/studies/1.2.3"]


def test_no_page_lets_a_name_become_a_script(busy: ConsoleNode) -> None:
    """Wherever a text of a stranger stands it is text; and a policy forbids what slips through."""
    seen = 0
    for path in _everything(busy):
        answer = busy.ask(path)
        assert answer.status_code == (404 if path in {"/studies/1.2.3", "/jobs/abcdef"} else 200)
        assert EVIL not in answer.text, path
        assert "Traceback" not in answer.text
        # No inline script, style or handler: the policy would not run them, so nothing may need it.
        assert not re.search(r"<script(?![^>]* src=)|<style|\son\w+=|\sstyle=", answer.text), path
        assert "script-src" not in answer.headers["content-security-policy"]
        assert "default-src 'self'" in answer.headers["content-security-policy"]
        assert answer.headers["cache-control"] == "no-store"
        seen += "&lt;script&gt;alert(1)&lt;/script&gt;" in answer.text
    assert seen >= 6


@pytest.mark.parametrize("path", PAGES)
def test_a_page_can_be_read_in_chinese(busy: ConsoleNode, path: str) -> None:
    """As the browser asks, or as the reader has chosen before."""
    asked = busy.ask(path, headers={"Accept-Language": "zh-CN,zh;q=0.9,en;q=0.5"})
    assert '<html lang="zh-Hans"' in asked.text
    assert "仅供研究使用" in asked.text
    chosen = busy.ask(path, headers={"Accept-Language": "zh", "Cookie": "language=en"})
    assert '<html lang="en"' in chosen.text
    assert "Research use only" in chosen.text


def test_the_overview_tells_what_needs_a_person(busy: ConsoleNode) -> None:
    """And where to click."""
    text = busy.ask("/").text
    assert "the model fell over" not in text
    assert "odd: &lt;script&gt;" in text
    assert "series arriving" in text
    assert re.search(r'<span class="count bad"[^>]*>2</span>', text)  # one parked, one refused
    assert '<svg class="chart"' in text
    assert "4 series in 24 hours" in text
    assert "something to look at" in text


def test_studies_are_listed_as_they_arrive(busy: ConsoleNode) -> None:
    """With names in any script, and how far their jobs are."""
    text = busy.ask("/studies").text
    assert "Larch, Ada" in text
    assert "山田, 太郎" in text
    assert "arriving</span>" in text
    assert text.index("山田") < text.index("Larch")
    assert 'hx-trigger="news-studies from:body' in text


@pytest.mark.parametrize(
    ("query", "found"),
    [
        pytest.param("q=larch", {"Larch"}, id="a name, whatever the case"),
        pytest.param("q=B-2", {"Birch"}, id="an ID"),
        pytest.param("q=nobody", set(), id="nobody"),
        pytest.param("q=larch&modality=MR", set(), id="another modality"),
        pytest.param("modality=CT", {"Larch", "Birch"}, id="a modality"),
        pytest.param(
            "since=2004-01-01&until=2004-12-31", {"Larch", "Birch"}, id="a range of dates"
        ),
        pytest.param("since=2025-01-01", set(), id="a later date"),
    ],
)
def test_a_study_is_found(busy: ConsoleNode, query: str, found: set[str]) -> None:
    """By what people know of it."""
    text = busy.ask(f"/studies?{query}").text
    assert {name for name in ("Larch", "Birch") if f">{name}, " in text} == found
    assert ("No study matches" in text) == (not found)


def test_a_study_tells_its_story(busy: ConsoleNode) -> None:
    """Received, complete and why, routed and why not elsewhere, made, delivered."""
    text = busy.ask(f"/studies/{_uid('delivered')}").text
    for told in (
        "Larch, Ada", "told so", "tissue", "takes it", "does not take it",
        "Modality is CT, wanted CR or DX", "Segmentation", "Encoded; delivery begins", "Delivered",
        "/thumbnail", "accept=application/zip",
    ):  # fmt: skip
        assert told in text, told


def test_todays_routes_say_why(busy: ConsoleNode) -> None:
    """For every series of a study."""
    text = busy.ask(f"/studies/{_uid('delivered')}/explain").text
    assert "Modality is CT, wanted CR or DX" in text


@pytest.mark.parametrize(
    ("query", "jobs"),
    [
        pytest.param("stage=parked&route=tissue", 2, id="by stage and route"),
        pytest.param("who=a+person", 2, id="by who has to act"),
        pytest.param("who=operator", 0, id="nobody of this kind"),
        pytest.param("route=chest", 0, id="a route that took nothing"),
        pytest.param("stage=&route=&who=", 3, id="a form that says nothing"),
        pytest.param("stage=nonsense", 3, id="a stage that there is not"),
    ],
)
def test_jobs_are_filtered(busy: ConsoleNode, query: str, jobs: int) -> None:
    """As the form says."""
    assert (
        len(re.findall(r'<a class="uid[^"]*" href="/jobs/', busy.ask(f"/jobs?{query}").text))
        == jobs
    )


def test_a_job_says_who_has_to_act_and_what_to_do(busy: ConsoleNode) -> None:
    """With every attempt, object and delivery."""
    (refused,) = [job for job in busy.ledger.jobs() if "0xA900" in job.note]
    text = busy.ask(f"/jobs/{refused.name}").text
    for told in ("0xA900", "A person: look at the reason", "pacs", "refused",
                 f"/jobs/{refused.name}/retry", "Inference began"):  # fmt: skip
        assert told in text, told


def test_routes_are_told_in_words(busy: ConsoleNode) -> None:
    """With what became of them."""
    text = busy.ask("/routes").text
    for told in ("Modality: CR or DX", "ct_tissue", "never taken yet", "parked", 'id="drop"'):
        assert told in text, told


def test_a_destination_that_refuses_can_be_tried_again(busy: ConsoleNode) -> None:
    """It says what it answered, and offers the button."""
    text = busy.ask("/destinations").text
    for told in ("refuses objects", "0xA900", "PACS @ 127.0.0.1", "/destinations/pacs/retry"):
        assert told in text, told


def test_a_destination_that_shows_nothing_says_so(tmp_path: Path) -> None:
    """In both languages: about how many objects, what it said, and the button to ask again."""
    node = ConsoleNode(tmp_path, proof="commitment")
    node.encoded(node.routed(ct()))
    node.sent()
    node.doubted("it takes no requests at all")
    text = node.ask("/destinations").text
    for told in ("does not show that it keeps what it takes", "it takes no requests at all",
                 "Ask again", "/destinations/pacs/retry", "Their studies stay on this node"):  # fmt: skip
        assert told in text, told
    assert "does not show that it keeps" in node.ask("/").text
    chinese = node.ask("/destinations", headers={"Accept-Language": "zh"}).text
    assert "再次询问" in chinese


def test_storage_says_what_stays_for_a_promise(node: ConsoleNode, busy: ConsoleNode) -> None:
    """Whoever has a full disk sees why nothing goes."""
    node.encoded(node.routed(ct()))
    node.sent()
    node.committed(ct())
    assert "1 studies stay only because others were promised" in node.ask("/storage").text
    assert "stay only because others were promised" not in busy.ask("/storage").text


def test_models_show_scores_and_card(busy: ConsoleNode) -> None:
    """With intervals; the card is rendered, its own markup is not."""
    assert "lung_fields_cxr" in busy.ask("/models").text
    text = busy.ask("/models/lung_box_cxr").text
    for told in ("Boxes around the lungs", "0.7396 \N{EN DASH} 0.9771", "<h3>", "Limits"):
        assert told in text, told
    assert "<!-- score" not in text
    picture = busy.ask("/models/lung_box_cxr/pictures/reliability.png")
    assert (picture.status_code, picture.headers["content-type"]) == (200, "image/png")
    for wrong in ("README.md", "..%2fREADME.md", "score.json"):
        assert busy.ask(f"/models/lung_box_cxr/pictures/{wrong}").status_code == 404
    assert busy.ask("/models/none").status_code == 404


def test_storage_tells_what_goes_next(busy: ConsoleNode) -> None:
    """What is delivered, not what waits for somebody."""
    text = busy.ask("/storage").text
    assert "Larch, Ada" in text
    assert "Birch" not in text
    assert "3 days after the last instance" in text


def test_events_are_filtered(busy: ConsoleNode) -> None:
    """By kind, job and time."""
    assert "told so" in busy.ask("/audit?what=series_complete").text
    assert "told so" not in busy.ask("/audit?what=job_created").text
    assert "Nothing of this kind" in busy.ask("/audit?until=2001-01-01T00:00").text
    assert busy.ask("/audit?since=2001-02-31").status_code == 200
    assert busy.ask("/audit?since=yesterday").status_code == 422


def test_the_trail_can_be_read_and_verified(node: ConsoleNode) -> None:
    """Who, what, when, how it went; the message; and where somebody has changed a record."""
    trail = compose.trail(node.config)
    trail.note(changed(Act.USER_SECURITY, Actor(name="anna"), "user ben was added", NOON))
    trail.note(login(Act.LOGIN, Actor(name=EVIL), NOON, Outcome.MINOR_FAILURE))
    assert "No record of this kind" in node.ask("/trail").text
    compose.auditor(node.config).seal_all()
    text = node.ask("/trail").text
    assert (text.count("<tr>"), EVIL in text) == (3, False)
    assert "minor failure" in text
    assert "anna" not in node.ask("/trail?kind=user_authentication").text
    assert "anna" in node.ask("/trail?who=ann&since=2001-01-01T00:00").text
    assert "&lt;EventIdentification" in node.ask("/trail/1").text
    assert node.ask("/trail/3").status_code == 404
    assert node.ask("/trail?kind=odd").status_code == 422
    assert "The chain is whole: 2 records" in node.ask("/trail/verify", "POST").text
    assert node.ask("/api/audit/verdict").json() == {"records": 2, "broken": None, "why": ""}
    listed = node.ask("/api/audit?kind=security_alert").json()
    assert [one["number"] for one in listed["records"]] == [1]
    assert "AuditMessage" in node.ask("/api/audit/1").json()["message"]
    with open_database(node.config.store.database_url).writing() as connection:
        connection.execute(text_of("UPDATE audit_records SET who = 'ben' WHERE number = 2"))
    assert "broken at record 2" in node.ask("/trail/verify", "POST").text


def test_a_study_that_nobody_has_looked_at_has_no_neighbours(busy: ConsoleNode) -> None:
    """The page says so; without a study it offers some."""
    assert "has been looked at yet" in busy.ask(f"/similar?study={_uid('evil')}").text
    assert "Larch, Ada" in busy.ask("/similar").text


def test_a_page_of_an_empty_node_says_so(node: ConsoleNode) -> None:
    """Nothing is broken where nothing is."""
    for path in PAGES:
        assert node.ask(path).status_code == 200, path
    assert "Send a study to this node" in node.ask("/studies").text
    assert "all is well" in node.ask("/").text


def test_the_list_goes_on(node: ConsoleNode) -> None:
    """Page by page, each study once."""
    for number in range(35):
        node.put(ct(f"many {number}", PatientName=f"Oak^{number:02}"))
    first = node.ask("/studies").text
    (link,) = re.findall(r'rel="next" href="([^"]+)"', first)
    second = node.ask(link.replace("&amp;", "&")).text
    names = [re.findall(r">(Oak, \d\d)<", text) for text in (first, second)]
    assert (len(names[0]), len(names[1])) == (30, 5)
    assert len({*names[0], *names[1]}) == 35
    found = node.ask("/studies?q=oak&number=2").text
    assert len(re.findall(r">Oak, \d\d<", found)) == 5


def test_what_is_asked_wrongly_is_told_on_a_page(busy: ConsoleNode) -> None:
    """With its status; nothing of what was asked is repeated as markup."""
    for path in (
        "/studies/abc", "/quarantine/0", "/audit?job=xyz", f"/studies?since={EVIL}",
        "/studies?before=0001-01-01T00:00:00%2B14:00", "/studies?before=2026-01-01T00:00:00",
        *(f"/{page}?before={2**63}" for page in ("jobs", "quarantine", "audit")),
    ):  # fmt: skip
        answer = busy.ask(path)
        assert (answer.status_code, EVIL in answer.text) == (422, False), path
        assert "This cannot be asked so" in answer.text
