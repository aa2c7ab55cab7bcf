"""Two images of one place side by side: the one in colour over the other, and the other alone."""

from dataclasses import replace

import numpy as np

from dicom_ai_node.domain.findings import Findings
from dicom_ai_node.domain.pictures import Backdrop
from dicom_ai_node.encode.heat import blended

GAP_PART = 48
"""The gap between them is this part of their width, and a pixel at least."""


def side_by_side(backdrop: Backdrop, findings: Findings) -> tuple[Backdrop, Findings]:
    """Return a backdrop of two pictures for one with an overlay, and a heat map for its right one.

    Left is the overlay in colour, so that it is seen by itself; right is where findings are drawn.
    Without an overlay both come back as they are.
    """
    over = backdrop.overlay
    if over is None:
        return backdrop, findings
    grey = np.repeat(backdrop.array[..., None], 3, axis=-1)
    left = np.stack(
        [
            blended(frame.astype(np.float32), part)
            for frame, part in zip(grey, over.array, strict=True)
        ]
    )
    left = np.clip(np.rint(left), 0, 255).astype(np.uint8)
    count, rows, columns, _ = grey.shape
    gap = np.zeros((count, rows, max(1, columns // GAP_PART), 3), np.uint8)
    heat = findings.heat_map
    if heat is not None:
        before = np.zeros((len(heat.array), rows, columns + gap.shape[2]), np.float16)
        heat = replace(heat, array=np.concatenate([before, heat.array], axis=2))
    both = replace(backdrop, array=np.concatenate([left, gap, grey], axis=2))
    return both, replace(findings, backdrop=both, heat_map=heat)
