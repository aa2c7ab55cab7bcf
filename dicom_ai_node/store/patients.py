"""Whether two series are of the same patient, told without keeping who it is."""

import hmac
import json
import os
import secrets
import warnings
from contextlib import suppress
from pathlib import Path

from pydicom import dcmread
from pydicom.errors import InvalidDicomError

_KEY_BYTES = 32


class Patients:
    """Makes a keyed hash of Patient ID and its issuer; without the key nobody can try names.

    Parameters
    ----------
    key
        Secret of this installation. With another one nobody is known any more.
    """

    def __init__(self, key: bytes) -> None:
        self._key = key

    @classmethod
    def with_key(cls, path: Path) -> "Patients":
        """Return them with the key in the file at `path`, which is made if it is not there."""
        with suppress(FileExistsError):
            number = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
            with os.fdopen(number, "wb") as file:
                file.write(secrets.token_bytes(_KEY_BYTES))
                os.fsync(number)
        return cls(path.read_bytes())

    def of(self, path: Path) -> str:
        """Return the hash for the patient of one Part 10 file.

        Returns
        -------
        str
            64 hexadecimal digits; empty if the file does not say whose it is.
        """
        wanted = ["PatientID", "IssuerOfPatientID"]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # pydicom would quote the value
            try:
                header = dcmread(path, specific_tags=wanted, stop_before_pixels=True)
                number, issuer = (str(header.get(keyword) or "").strip() for keyword in wanted)
            except (InvalidDicomError, OSError, ValueError):
                return ""
        if not number:
            return ""
        # Two hospitals may give the same number to two people, PS3.3 C.7.1.1.
        return hmac.digest(self._key, json.dumps([issuer, number]).encode(), "sha256").hex()
