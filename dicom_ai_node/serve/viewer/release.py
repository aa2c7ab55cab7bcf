"""The one release of OHIF that is served, where it comes from, and that it is what was tried.

It is the package `@ohif/app` of the npm registry, MIT, already built: no Node.js is needed. The
node does not carry it; `dicom-ai-node viewer install` fetches it, or takes a file that was carried
to a hospital without internet.
"""

import base64
import hashlib
import re
import ssl
from collections.abc import Iterable, Mapping
from pathlib import Path

import httpx

from dicom_ai_node.domain.errors import ConfigError, NeedsAttention, PeerUnavailable

NAME = "@ohif/app"
VERSION = "3.13.2"
SHA512 = "WZdxmpmG7rqFgW9ZJLcbgr3XCtLi1KDNPoMaeY5PPe6j4G4fjEjjkycZM6C6Zk2F87BKxFfpq+jd5xXZB9E8EA=="
"""In base 64, as the registry (`dist.integrity`) and every lock file of npm write it."""
TARBALL = f"app-{VERSION}.tgz"
PUBLIC_REGISTRY = "https://registry.npmjs.org/"
MOST_BYTES = 100 * 1024**2
"""More than this is not read; the release has 50 MB."""
TIMEOUT_SECONDS = 60.0
"""Between two packets."""
_CHUNK_BYTES = 1024**2
_REGISTRY = re.compile(r"""\s*registry\s*=\s*["']?(https?://[^\s"']+)""")


def registry(environment: Mapping[str, str], npmrc: Iterable[str]) -> str:
    """Return the registry that npm would ask: its variable, its `.npmrc`, else the public one."""
    for name in ("npm_config_registry", "NPM_CONFIG_REGISTRY"):
        if said := environment.get(name):
            return said
    found = [match[1] for line in npmrc if (match := _REGISTRY.match(line))]
    return found[-1] if found else PUBLIC_REGISTRY


def fetch(target: Path, registry_url: str, most_bytes: int = MOST_BYTES) -> None:
    """Write the release to `target`, which does not exist yet; `most_bytes` at most.

    Raises
    ------
    ConfigError
        If the registry is no address.
    PeerUnavailable
        If it does not answer, or not with the release.
    """
    address = f"{registry_url.rstrip('/')}/{NAME.replace('/', '%2f')}/-/{TARBALL}"
    # The certificates of the machine, not a list of ours: a hospital adds its own there.
    trusted = ssl.create_default_context()
    try:
        with (
            httpx.stream(
                "GET", address, verify=trusted, timeout=TIMEOUT_SECONDS, follow_redirects=True
            ) as answer,
            target.open("xb") as file,
        ):
            answer.raise_for_status()
            for chunk in answer.iter_bytes(_CHUNK_BYTES):
                if file.tell() + len(chunk) > most_bytes:
                    raise PeerUnavailable(f"{registry_url} sends more than {most_bytes} bytes")
                file.write(chunk)
    except httpx.HTTPStatusError as error:
        status = error.response.status_code
        raise PeerUnavailable(f"{registry_url} answers {status} to {NAME} {VERSION}") from error
    except (httpx.InvalidURL, httpx.UnsupportedProtocol) as error:
        raise ConfigError(f"{registry_url} is no address of an npm registry") from error
    except httpx.HTTPError as error:
        raise PeerUnavailable(
            f"{registry_url} cannot be reached; on a machine that can, run `npm pack"
            f" {NAME}@{VERSION}`, carry the file here, and give it with --from"
        ) from error


def check(tarball: Path) -> None:
    """Look whether a file is the release, to the bit.

    Raises
    ------
    NeedsAttention
        If it is not, or cannot be read.
    """
    try:
        with tarball.open("rb") as file:
            digest = hashlib.file_digest(file, "sha512").digest()
    except OSError as error:
        raise NeedsAttention(f"{tarball} cannot be read: {error.strerror}") from error
    if base64.b64encode(digest).decode() != SHA512:
        raise NeedsAttention(f"{tarball} is not {NAME} {VERSION} as it was released")
