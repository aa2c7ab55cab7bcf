"""Two images of one place stand side by side: one in colour over the other, one for findings."""

from dataclasses import replace

import numpy as np

from dicom_ai_node.encode.heat import blended
from dicom_ai_node.encode.overlay import side_by_side
from dicom_ai_node.encode.secondary_capture import encode
from tests import phantoms
from tests.encode import scenes


def test_the_left_one_shows_the_other_image_in_colour_over_the_reference() -> None:
    """Where it is 0 the reference is as it was, and the right one always is."""
    scene = scenes.fused(phantoms.ct(), phantoms.pet())
    backdrop = scene.findings.backdrop
    assert backdrop is not None
    assert backdrop.overlay is not None
    both, _ = side_by_side(backdrop, scene.findings)
    _, rows, columns = backdrop.array.shape
    grey = np.repeat(backdrop.array[..., None], 3, axis=-1)
    left, right = both.array[:, :, :columns], both.array[:, :, -columns:]
    assert both.array.shape[1:] == (rows, 2 * columns + max(1, columns // 48), 3)
    assert np.array_equal(right, grey)
    wanted = blended(grey[0].astype(np.float32), backdrop.overlay.array[0])
    assert np.abs(left[0] - wanted).max() <= 0.5
    assert np.array_equal(left[0, 0, 0], grey[0, 0, 0])


def test_the_heat_lies_on_the_right_one_where_it_lay_before() -> None:
    """Nothing is explained on the left."""
    scene = scenes.fused(phantoms.ct(), phantoms.pet())
    backdrop, heat = scene.findings.backdrop, scene.findings.heat_map
    assert backdrop is not None
    assert heat is not None
    _, found = side_by_side(backdrop, scene.findings)
    assert found.heat_map is not None
    columns = backdrop.array.shape[2]
    assert np.array_equal(found.heat_map.array[:, :, -columns:], heat.array)
    assert not found.heat_map.array[:, :, :columns].any()


def test_without_an_overlay_nothing_changes() -> None:
    """As for all models with one input."""
    scene = scenes.classified([phantoms.cr()])
    assert scene.findings.backdrop is not None
    backdrop, found = side_by_side(scene.findings.backdrop, scene.findings)
    assert backdrop is scene.findings.backdrop
    assert found is scene.findings


def test_the_picture_is_wider_for_it_and_the_legend_says_what_is_where() -> None:
    """The two colour scales are told apart by where they belong."""
    scene = scenes.fused(phantoms.ct(), phantoms.pet())
    (two,) = encode(scene.findings, scene.origin)
    assert scene.findings.backdrop is not None
    single = replace(
        scene,
        findings=replace(scene.findings, backdrop=replace(scene.findings.backdrop, overlay=None)),
    )
    (one,) = encode(single.findings, single.origin)
    assert two.Columns > 1.4 * one.Columns
