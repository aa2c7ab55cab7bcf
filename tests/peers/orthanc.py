"""A real archive of one's own: Orthanc from Debian, on loopback, in a temporary folder."""

import io
import json
import os
import subprocess
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx
from pydicom import FileDataset, dcmread

from tests.peers.tools import find, find_file, free_port, wait_for

_PLUGINS = ("/usr/share/orthanc/plugins", "/usr/lib/orthanc", "/usr/local/share/orthanc/plugins")

PATIENCE_SECONDS = 60.0
"""How long it may take to answer on a machine that does much else."""


class Orthanc:
    """Starts with `with`, ends with it. `settings` are added to its configuration."""

    def __init__(
        self,
        folder: Path,
        *,
        ae_title: str = "ORTHANC",
        environment: Mapping[str, str] | None = None,
        **settings: object,
    ) -> None:
        self.folder = folder / ae_title.lower()
        self.ae_title = ae_title
        self.dicom_port = free_port()
        self.http_port = free_port()
        self.url = f"http://127.0.0.1:{self.http_port}"
        self.dicomweb_url = f"{self.url}/dicom-web"
        self._settings = settings
        self._environment = {**os.environ, **(environment or {})}
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        """Start it and wait until it answers."""
        program = find("Orthanc")
        plugin = find_file("libOrthancDicomWeb.so", *_PLUGINS)
        self.folder.mkdir(parents=True, exist_ok=True)
        configuration = {
            "Name": self.ae_title,
            "StorageDirectory": str(self.folder / "storage"),
            "IndexDirectory": str(self.folder / "storage"),
            "TemporaryDirectory": str(self.folder),
            "Plugins": [str(plugin)],
            "DicomAet": self.ae_title,
            "DicomCheckCalledAet": True,
            "DicomPort": self.dicom_port,
            "HttpPort": self.http_port,
            "RemoteAccessAllowed": False,
            "AuthenticationEnabled": False,
            "OverwriteInstances": False,
            "DicomWeb": {"Enable": True, "Root": "/dicom-web/"},
            **self._settings,
        }
        file = self.folder / "orthanc.json"
        file.write_text(json.dumps(configuration))
        log = self.folder / "orthanc.log"
        with log.open("wb") as output:
            self._process = subprocess.Popen(
                [program, str(file)], stdout=output, stderr=output, env=self._environment
            )
        wait_for(self._answers, self._process, log)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """End the process that was started here, at once: an end in good order takes it seconds.

        What it has stored is there if it is started again; it survives that as it must.
        """
        if self._process:
            self._process.kill()
            self._process.wait(20)

    @property
    def pid(self) -> int:
        """Return the number of its process."""
        assert self._process is not None
        return self._process.pid

    def _answers(self) -> bool:
        try:
            return httpx.get(f"{self.url}/system", trust_env=False).status_code == 200
        except httpx.HTTPError:
            return False

    def get(self, path: str) -> Any:  # noqa: ANN401 - whatever JSON it answers
        """Return the JSON of its own REST API."""
        answer = httpx.get(f"{self.url}{path}", trust_env=False, timeout=PATIENCE_SECONDS)
        answer.raise_for_status()
        return answer.json()

    def instances(self) -> dict[str, str]:
        """Return its own identifier of every instance by SOP Instance UID."""
        found = self.get("/instances?expand")
        return {each["MainDicomTags"]["SOPInstanceUID"]: each["ID"] for each in found}

    def file(self, orthanc_id: str) -> bytes:
        """Return the Part 10 file of an instance as it is stored."""
        answer = httpx.get(
            f"{self.url}/instances/{orthanc_id}/file", trust_env=False, timeout=PATIENCE_SECONDS
        )
        answer.raise_for_status()
        return answer.content

    def dataset(self, sop_instance_uid: str) -> FileDataset:
        """Return an instance by its SOP Instance UID."""
        return dcmread(io.BytesIO(self.file(self.instances()[sop_instance_uid])))
