"""axe-core, which knows the rules of accessibility; MPL-2.0, for these tests only, never shipped.

It is the package of the npm registry, fetched once for all runs.
"""

import base64
import hashlib
import io
import os
import tarfile
from pathlib import Path
from typing import Any, NoReturn

import httpx
import pytest

from dicom_ai_node.serve.viewer.release import registry
from tests.peers.browser import Page

VERSION = "4.14.1"
SHA512 = "FHfa+lmNjQZfJz1q8wKqIDwC6DExcHt/pkjNQb09a3NPjCKg2rhu5qb2S4r76ASyFNNtuFooJpZe37OgudVGtQ=="
"""In base 64, as the registry writes it."""
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
SERIOUS = {"serious", "critical"}


def axe() -> str:
    """Return the script; skip without a registry."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "dicom_ai_node"
    kept = cache / f"axe-core-{VERSION}.tgz"
    if not kept.exists():
        cache.mkdir(parents=True, exist_ok=True)
        npmrc = Path.home() / ".npmrc"
        asked = registry(os.environ, npmrc.read_text().splitlines() if npmrc.exists() else ())
        try:
            answer = httpx.get(f"{asked.rstrip('/')}/axe-core/-/axe-core-{VERSION}.tgz", timeout=60)
            answer.raise_for_status()
        except httpx.HTTPError as error:
            _missing(f"axe-core: {type(error).__name__}")
        kept.write_bytes(answer.content)
    content = kept.read_bytes()
    assert base64.b64encode(hashlib.sha512(content).digest()).decode() == SHA512
    with tarfile.open(fileobj=io.BytesIO(content)) as package:
        script = package.extractfile("package/axe.min.js")
        assert script is not None
        return script.read().decode()


def trouble(page: Page, script: str) -> list[str]:
    """Return what is serious on a page, one line for each rule that it breaks."""
    page.js(f"{script}\n;undefined")
    asked = f"axe.run(document, {{runOnly: {RULES}}}).then((r) => r.violations)"
    found: list[dict[str, Any]] = page.js(asked)
    return [
        f"{one['id']}: {one['help']}: {[node['html'][:160] for node in one['nodes'][:3]]}"
        for one in found
        if one["impact"] in SERIOUS
    ]


def _missing(why: str) -> NoReturn:
    """Skip: that a registry does not answer says nothing about the node."""
    pytest.skip(why)
