"""`doctor`, as somebody runs it who has just installed the node, or whom it has called at night."""

from pathlib import Path

from tests.cli.conftest import Past, Run


def test_it_says_a_line_for_each_check(past: Past, run: Run) -> None:
    """Of a node with a past: the results of the fixture have no bytes, which is a fault."""
    ended = run("doctor", past.config, "--thorough")
    assert ended.status == 2
    lines = [line for line in ended.out.splitlines() if line.startswith("fault")]
    assert len(lines) == 1
    assert "unreadable" in lines[0]
    assert "send these studies again" in lines[0]


def test_it_answers_programs(config: Path, run: Run) -> None:
    """As JSON, with a status that a monitor understands: a node that never ran is a warning."""
    ended = run("doctor", config, "--json")
    levels = {one["level"] for one in ended.json}
    assert (ended.status, levels) == (1, {"ok", "warning"})
    assert {one["check"] for one in ended.json} >= {"python", "torch", "models", "ledger"}
    assert all(one["mend"] for one in ended.json if one["level"] != "ok")
