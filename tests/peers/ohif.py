"""OHIF in a browser, on a node of ours: open a study, a series, a slice; find a voxel on the screen."""

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from dicom_ai_node.domain.errors import PeerUnavailable
from dicom_ai_node.serve.viewer import release
from tests.peers.browser import Browser, Page

PATIENCE_SECONDS = 90.0
"""How long it may take to draw something without a graphics card on a machine that does much else."""

_VIEWPORT = "services.cornerstoneViewportService.getRenderingEngine().getViewports()[0]"
_SERIES = "[...document.querySelectorAll('[data-cy^=\"study-browser-thumbnail\"]')]"


def tarball() -> Path:
    """Return the release, which is fetched once for all runs; skip without a registry."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "dicom_ai_node"
    kept = cache / release.TARBALL
    if not kept.exists():
        cache.mkdir(parents=True, exist_ok=True)
        new = cache / f"{release.TARBALL}.{os.getpid()}"
        try:
            release.fetch(new, release.registry(os.environ, _npmrc()))
            new.replace(kept)
        except PeerUnavailable as error:
            pytest.skip(str(error))
        finally:
            new.unlink(missing_ok=True)
    release.check(kept)
    return kept


def _npmrc() -> Sequence[str]:
    file = Path.home() / ".npmrc"
    return file.read_text().splitlines() if file.exists() else ()


class Ohif:
    """One page of it, which shows a study or is about to."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.page.wait("window.services && window.cornerstone", PATIENCE_SECONDS)
        self.page.wait("document.querySelector('canvas')", PATIENCE_SECONDS)

    @classmethod
    def opened(cls, browser: Browser, url: str, study: str, series: str = "") -> Self:
        """Open a study in a new page."""
        page = browser.page(width=1280, height=800)
        shown = f"&initialSeriesInstanceUID={series}" if series else ""
        page.open(f"{url}/viewer/viewer?StudyInstanceUIDs={study}{shown}", PATIENCE_SECONDS)
        viewer = cls(page)
        viewer.confirm()
        return viewer

    def confirm(self) -> None:
        """Say that one has read that it is not for diagnosis: once after each start of a browser."""
        self.page.wait(
            "document.querySelector('[data-cy=confirm-and-hide-button]')", PATIENCE_SECONDS
        )
        self.page.click("[data-cy=confirm-and-hide-button]")

    def series(self) -> list[str]:
        """Return what the column of series says, one text a series."""
        found: list[str] = self.page.js(f"{_SERIES}.map(e => e.innerText)")
        return found

    def show(self, modality: str, description: str) -> None:
        """Double-click a series, as one does who wants to see it."""
        told = json.dumps(description)
        one = (
            f"{_SERIES}.find(e => e.innerText.trim().startsWith('{modality}')"
            f" && e.innerText.includes({told}))"
        )
        self.page.wait(one, PATIENCE_SECONDS)
        self.page.click_on(one, times=2)

    def wait_for_segments(self, count: int = 1) -> None:
        """Wait until so many segmentations lie over the image."""
        self.page.wait(
            f"services.segmentationService.getSegmentations().length >= {count}", PATIENCE_SECONDS
        )
        self.page.wait(
            f"services.segmentationService.getSegmentationRepresentations({_VIEWPORT}.id).length",
            PATIENCE_SECONDS,
        )
        self.settle()

    def settle(self) -> None:
        """Wait until the picture no longer changes."""
        self.page.wait(
            "services.displaySetService.activeDisplaySets.every(d => !d.loading)", PATIENCE_SECONDS
        )
        before = b""
        for _ in range(40):
            now = self.page.tell("Page.captureScreenshot", format="png")["data"].encode()
            if now == before:
                return
            before = now
            self.page.rest(0.7)

    def go_to(self, sop_instance_uid: str, frame: int = 1) -> None:
        """Show one slice or one frame."""
        told = json.dumps([sop_instance_uid, frame])
        self.page.js(
            f"(async ([uid, frame]) => {{const v = {_VIEWPORT};"
            "const at = v.getImageIds().findIndex(id => id.includes(`/instances/${uid}/`)"
            " && (id.endsWith(`/frames/${frame}`)));"
            "if (at < 0) throw new Error('no such slice: ' + v.getImageIds()[0]);"
            f"await v.setImageIdIndex(at); v.render()}})({told})"
        )
        self.settle()

    def frame_index(self) -> int:
        """Return which slice or frame is shown now, from 0."""
        return int(self.page.js(f"{_VIEWPORT}.getCurrentImageIdIndex()"))

    def places(self, pixels: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return where the centres of (row, column) pixels are on the screen, as (y, x)."""
        told = json.dumps([[int(column), int(row)] for row, column in pixels])
        found = self.page.js(
            f"(points => {{const v = {_VIEWPORT}, at = v.getCurrentImageId();"
            "const box = v.element.getBoundingClientRect();"
            "return points.map(p => {"
            "const w = cornerstone.utilities.imageToWorldCoords(at, p);"
            "const c = v.worldToCanvas(w); return [c[1] + box.y, c[0] + box.x]})"
            f"}})({told})"
        )
        return np.asarray(found, np.float64)

    def picture(self, path: Path) -> NDArray[np.int64]:
        """Write a screenshot and return its (rows, columns, 3) colours."""
        image = Image.open(self.page.picture(path)).convert("RGB")
        return np.asarray(image, np.int64)


def tinted(colours: NDArray[np.int64], rgb: Sequence[int]) -> NDArray[np.bool_]:
    """Return for each colour whether a grey under this tint may be the reason."""
    tint = np.asarray(rgb, np.float64) - np.mean(rgb)
    own = colours - colours.mean(axis=-1, keepdims=True)
    length = np.linalg.norm(own, axis=-1)
    along = own @ tint / np.maximum(length * np.linalg.norm(tint), 1e-9)
    return (length > 20) & (along > 0.9)


def is_quiet(page: Page, url: str) -> Mapping[str, object]:
    """Return what a page has done that it should not: nothing, if all is well."""
    refused = {address: status for address, status in page.statuses.items() if status >= 400}
    told: dict[str, Any] = {
        "errors": page.errors, "strangers": page.strangers(url), "refused": refused,
    }  # fmt: skip
    return {name: value for name, value in told.items() if value}
