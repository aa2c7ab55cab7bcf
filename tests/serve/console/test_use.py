"""The chart of devices: an hour of minutes, drawn in its box, with gaps where nobody measured."""

from dataclasses import replace

from dicom_ai_node import compose
from dicom_ai_node.domain.devices import DeviceUse
from dicom_ai_node.serve.console.use import HEIGHT, WIDTH, first_minute, hour_of
from tests.serve.console.node import ConsoleNode
from tests.store.made import HOUR, MINUTE, NOON, SECOND

NOW = NOON + HOUR + 30 * SECOND
CPU = DeviceUse(at=NOON + HOUR, machine="box", device="cpu", slots=1, busy=0.5)
GPU = replace(CPU, device="cuda:0", slots=2, gpu=0.25, gpu_used_bytes=2**32, gpu_bytes=2**34)


def test_every_minute_lies_in_the_box() -> None:
    """The first of the hour at its left end, the present one at its right."""
    use = [replace(CPU, at=first_minute(NOW) + minute * MINUTE) for minute in range(60)]
    (hour,) = hour_of(use, NOW)
    assert len(hour.bars) == 60
    assert hour.bars[0].x == 1
    assert hour.bars[-1].x + hour.bars[-1].width <= WIDTH
    assert all(bar.y >= 0 and bar.y + bar.height <= HEIGHT for bar in hour.bars)
    assert {bar.percent for bar in hour.bars} == {50}
    assert (hour.busy, hour.gpu, hour.memory) == (50, (), ())


def test_what_was_idle_is_no_bar_but_is_there() -> None:
    """A node with nothing to do shows its devices, so that the chart is never empty."""
    (hour,) = hour_of([replace(CPU, busy=0.0)], NOW)
    assert (hour.name, hour.bars, hour.busy) == ("cpu", (), 0)


def test_a_gpu_has_lines_that_break_where_nobody_measured() -> None:
    """Use and memory, each from minute to minute; a single minute can be seen, too."""
    use = [replace(GPU, at=NOON + minute * MINUTE) for minute in (10, 11, 12, 30)]
    (hour,) = hour_of(use, NOW)
    assert [len(line.split()) for line in hour.gpu] == [3, 2]
    heights = {float(point.partition(",")[2]) for line in hour.memory for point in line.split()}
    assert len(heights) == 1
    assert hour.base > heights.pop() > hour.top


def test_machines_are_told_apart_only_where_there_are_several() -> None:
    """On one machine its name says nothing."""
    assert [one.name for one in hour_of([CPU, GPU], NOW)] == ["cpu", "cuda:0"]
    two = [replace(CPU, machine="another"), CPU, GPU]
    assert [one.name for one in hour_of(two, NOW)] == ["another cpu", "box cpu", "box cuda:0"]
    assert hour_of([replace(CPU, at=NOON - HOUR)], NOW) == []


def test_pages_and_api_show_how_busy_devices_are(node: ConsoleNode) -> None:
    """In words beside the picture, for who cannot see it."""
    assert "Nothing has been measured yet." in node.ask("/workers").text
    at = compose.now().replace(second=0, microsecond=0)
    node.ledger.note_use([replace(one, at=at) for one in (CPU, GPU)])
    for path in ("/workers", "/"):
        page = node.ask(path).text
        assert 'aria-label="cuda:0: workers busy 50 % of the last hour"' in page
        assert "GPU computing 25 %" in page
        assert "GPU memory 4.3 GB of 17.2 GB" in page
        assert page.count('<figure class="use">') == 2
    (cpu, gpu) = node.ask("/api/workers").json()["use"]
    assert (cpu["device"], cpu["busy"], cpu["gpu"]) == ("cpu", 0.5, None)
    assert (gpu["slots"], gpu["gpu"], gpu["gpu_bytes"]) == (2, 0.25, 2**34)
