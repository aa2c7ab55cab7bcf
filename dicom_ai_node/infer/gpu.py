"""How much of a GPU is used: by NVIDIA's own library where it is installed, else by torch.

torch knows only how full the memory is, and only a process that has opened the GPU may ask it
without taking some of that memory for itself: so workers ask torch, and their dispatcher the
library, about the GPU that a worker has named.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from dicom_ai_node.domain.devices import GpuSeen

LookUp = Callable[[GpuSeen], GpuSeen]
"""Returns what is known of a GPU now."""


def seen_by_torch(cuda: Any) -> GpuSeen | None:  # noqa: ANN401 - `torch.cuda`, or a stand-in
    """Return how full the only GPU that a worker sees is; `None` if it sees none or is not told."""
    try:
        if not cuda.is_available():
            return None
        free, size = cuda.mem_get_info(0)
        uuid = f"GPU-{cuda.get_device_properties(0).uuid}"
    except (RuntimeError, AttributeError):  # a driver that does not answer ends no attempt
        return None
    return GpuSeen(uuid=uuid, used_bytes=size - free, bytes=size)


def by_library() -> LookUp:
    """Return what asks NVIDIA's library; what a worker has said stays if there is none."""
    try:
        import pynvml  # noqa: PLC0415 - an extra
    except ImportError:
        return lambda seen: seen
    return asking(pynvml)


def asking(library: Any) -> LookUp:  # noqa: ANN401 - `pynvml`, or a stand-in
    """Return what asks `library`, which has the names of NVIDIA's management library (NVML)."""
    try:
        library.nvmlInit()
    except library.NVMLError:  # there is no driver
        return lambda seen: seen

    def look_up(seen: GpuSeen) -> GpuSeen:
        try:
            handle = library.nvmlDeviceGetHandleByUUID(seen.uuid)
            memory = library.nvmlDeviceGetMemoryInfo(handle)
            known = replace(seen, used_bytes=int(memory.used), bytes=int(memory.total))
        except library.NVMLError:
            return seen
        try:
            rates = library.nvmlDeviceGetUtilizationRates(handle)
        except library.NVMLError:  # a part of a GPU (MIG) has none
            return known
        return replace(known, use=min(1.0, float(rates.gpu) / 100))

    return look_up
