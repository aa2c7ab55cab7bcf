"""What lies beyond the node itself: destinations, models, GPUs."""

import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from datetime import datetime
from pathlib import Path

from dicom_ai_node.doctor.finding import Finding, fault, ok, warning
from dicom_ai_node.domain.errors import NodeError, PeerRejected, TryAgain

_CONNECT_SECONDS = 5.0
_LOOK_SECONDS = 180.0
_ASK_TORCH = """
import json, torch
there = torch.cuda.is_available()
print(json.dumps({
    "torch": torch.__version__, "cuda": torch.version.cuda,
    "gpus": [torch.cuda.get_device_name(n) for n in range(torch.cuda.device_count())]
    if there else [],
}))
"""


def destination(name: str, ask: Callable[[], str]) -> Iterator[Finding]:
    """Ask a destination whether it is there, without sending it an object.

    `ask` returns what it has answered, or raises as a delivery would.
    """
    place = f"destinations.{name}"
    try:
        yield ok("destinations", f"{place}: {ask()}")
    except TryAgain as hitch:
        yield fault(
            "destinations",
            f"{place}: {hitch}",
            "look whether it runs, at host and port, and at the firewall between; results wait",
        )
    except PeerRejected as no:
        yield fault(
            "destinations",
            f"{place}: {no}",
            "have its administrator enter our AE title and address; look at ae_title and tls",
        )
    except NodeError as wrong:
        yield fault("destinations", f"{place}: {wrong}", f"mend {place}")


def proofs(name: str, look: Callable[[], tuple[int, datetime | None, str]]) -> Iterator[Finding]:
    """Look whether a destination shows that it keeps what it takes.

    `look` returns about how many objects it was asked in vain, since when the first of them has
    been there, and what it said.
    """
    with suppress(NodeError):  # the check of the ledger says what is wrong with it
        objects, since, note = look()
        if objects:
            first = "" if since is None else f", the first there since {since:%Y-%m-%d %H:%M} UTC"
            yield warning(
                "proofs",
                f"destinations.{name} does not show that it keeps what it takes: {objects}"
                f" objects{first}. {note}",
                "ask whoever runs it, or choose another proof for it, `proof: query` above all;"
                " until then nothing of these studies is removed here",
            )
        else:
            yield ok("proofs", f"destinations.{name} was asked nothing in vain")


def folder_takes(folder: Path) -> str:
    """Return that files can be put into a folder.

    Raises
    ------
    PeerRejected
        If not.
    """
    if folder.exists() and not (folder.is_dir() and os.access(folder, os.W_OK | os.X_OK)):
        raise PeerRejected(f"{folder} is no folder that this account may write to")
    return f"{folder} takes files" if folder.exists() else f"{folder} is made by the first start"


def connects(place: str, host: str, port: int) -> Iterator[Finding]:
    """Look whether a service that is told things takes connections."""
    try:
        with socket.create_connection((host, port), timeout=_CONNECT_SECONDS):
            yield ok("services", f"{place}: {host}:{port} takes connections")
    except OSError as error:
        why = error.strerror or type(error).__name__
        yield fault(
            "services",
            f"{place}: {host}:{port} takes no connection: {why}",
            "look whether it runs, at host and port, and at the firewall between",
        )


def model(name: str, verify: Callable[[], str]) -> Iterator[Finding]:
    """Compare the files of a model with their checksums, and ask who vouches for it.

    `verify` returns why it may run, or raises why it may not.
    """
    try:
        yield ok("models", f"{name}: every file is as it was released, {verify()}")
    except NodeError as wrong:
        yield fault("models", str(wrong), f"install {name} again: dicom-ai-node models add")


def gpus(devices: Sequence[str], look: Callable[[], str]) -> Iterator[Finding]:
    """Look whether torch finds the devices that the configuration names."""
    try:
        seen = json.loads(look())
    except (OSError, ValueError, subprocess.SubprocessError) as error:
        yield fault(
            "torch",
            f"cannot be started ({type(error).__name__})",
            "install torch again, for this processor and this driver: see docs/how-to/install.md",
        )
        return
    here, cuda = seen["gpus"], f", CUDA {seen['cuda']}" if seen["cuda"] else ""
    said = f"torch {seen['torch']}{cuda}, {len(here)} GPUs"
    missing = [one for one in devices if one.startswith("cuda") and not _is_here(one, len(here))]
    if missing:
        yield fault(
            "torch",
            f"{said}; infer.devices names {', '.join(missing)}",
            "look at nvidia-smi and at the driver, or name other devices",
        )
    elif here and all(one == "cpu" for one in devices):
        yield warning(
            "torch", f"{said}, and none of them is used", "infer: {devices: [cuda:0]} is faster"
        )
    else:
        yield ok("torch", said)


def _is_here(device: str, count: int) -> bool:
    number = device.partition(":")[2] or "0"
    return number.isdecimal() and int(number) < count


def ask_torch() -> str:
    """Return what torch sees, as JSON; in a process of its own, because a driver may take it down.

    Raises
    ------
    subprocess.SubprocessError
        If it ended with an error, or did not end.
    """
    return subprocess.run(  # noqa: S603 - our own program text, no shell
        [sys.executable, "-c", _ASK_TORCH],
        capture_output=True,
        text=True,
        check=True,
        timeout=_LOOK_SECONDS,
    ).stdout
