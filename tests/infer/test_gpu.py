"""What a GPU says of itself, with what NVIDIA's library and torch answer put in at the boundary."""

from types import SimpleNamespace

import pytest

from dicom_ai_node.domain.devices import GpuSeen
from dicom_ai_node.infer.gpu import asking, by_library, seen_by_torch

GPU = GpuSeen(uuid="GPU-11111111-2222-3333-4444-555555555555", used_bytes=5, bytes=10)


class NvmlError(Exception):
    """What the library raises."""


class Library:
    """Answers as `pynvml` does on a machine with one GPU."""

    NVMLError = NvmlError

    def __init__(self, *, driver: bool = True, rates: bool = True) -> None:
        self.driver = driver
        self.rates = rates

    def nvmlInit(self) -> None:  # noqa: N802 - NVIDIA's name, as are the others
        """Find the driver."""
        if not self.driver:
            raise NvmlError("NVML Shared Library Not Found")

    def nvmlDeviceGetHandleByUUID(self, uuid: str) -> str:  # noqa: N802
        """Find a GPU."""
        if uuid != GPU.uuid:
            raise NvmlError("Not Found")
        return "handle"

    def nvmlDeviceGetMemoryInfo(self, handle: str) -> SimpleNamespace:  # noqa: N802
        """Return bytes."""
        assert handle == "handle"
        return SimpleNamespace(used=3 * 2**30, total=8 * 2**30, free=5 * 2**30)

    def nvmlDeviceGetUtilizationRates(self, _handle: str) -> SimpleNamespace:  # noqa: N802
        """Return percent."""
        if not self.rates:
            raise NvmlError("Not Supported")
        return SimpleNamespace(gpu=37, memory=90)


def test_the_library_knows_use_and_memory() -> None:
    """Of the GPU that the worker has named, whatever its number is."""
    seen = asking(Library())(GPU)
    assert seen == GpuSeen(uuid=GPU.uuid, used_bytes=3 * 2**30, bytes=8 * 2**30, use=0.37)


def test_a_part_of_a_gpu_has_memory_only() -> None:
    """A slice of a GPU (MIG) is told no use; its memory is known."""
    seen = asking(Library(rates=False))(GPU)
    assert (seen.use, seen.used_bytes) == (None, 3 * 2**30)


@pytest.mark.parametrize(
    ("library", "uuid"),
    [
        pytest.param(Library(driver=False), GPU.uuid, id="no driver"),
        pytest.param(Library(), "GPU-other", id="another GPU"),
    ],
)
def test_who_is_not_known_stays_as_his_worker_says(library: Library, uuid: str) -> None:
    """What torch has said is better than nothing."""
    said = GpuSeen(uuid=uuid, used_bytes=5, bytes=10)
    assert asking(library)(said) == said


def test_without_a_gpu_nothing_is_made_up() -> None:
    """On this machine, whether or not NVIDIA's library is installed."""
    assert by_library()(GPU) == GPU


def _cuda(uuid: object, *, is_there: bool = True) -> SimpleNamespace:
    def memory(device: int) -> tuple[int, int]:
        assert device == 0
        if uuid is None:
            raise RuntimeError("CUDA error: unknown error")
        return 6, 10

    return SimpleNamespace(
        is_available=lambda: is_there,
        mem_get_info=memory,
        get_device_properties=lambda _device: SimpleNamespace(uuid=uuid),
    )


def test_torch_knows_memory_and_the_name() -> None:
    """With the name by which the library finds the same GPU."""
    seen = seen_by_torch(_cuda(GPU.uuid.removeprefix("GPU-")))
    assert seen == GpuSeen(uuid=GPU.uuid, used_bytes=4, bytes=10)


@pytest.mark.parametrize(
    "cuda",
    [
        pytest.param(_cuda("1", is_there=False), id="none there"),
        pytest.param(_cuda(None), id="it does not answer"),
    ],
)
def test_a_gpu_that_says_nothing_ends_nothing(cuda: SimpleNamespace) -> None:
    """An attempt that has gone well does not fail because somebody wants to draw a chart."""
    assert seen_by_torch(cuda) is None
