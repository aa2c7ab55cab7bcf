"""How a model says that its answers are to be explained."""

import pytest

from dicom_ai_node.domain.explaining import Explain, explain_of
from dicom_ai_node.domain.pictures import Explained
from dicom_ai_node.domain.wording import Wording


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        pytest.param({}, None, id="nothing is explained where nothing is said"),
        pytest.param(
            {"explain_layer": "layer4"},
            Explain(method=Explained.GRAD_CAM, layer="layer4"),
            id="a layer alone is Grad-CAM",
        ),
        pytest.param(
            {"explain": {"method": "grad_cam", "layer": "layer4"}},
            Explain(method=Explained.GRAD_CAM, layer="layer4"),
            id="the long form of the same",
        ),
        pytest.param(
            {"explain": {"method": "occlusion"}},
            Explain(method=Explained.OCCLUSION),
            id="occlusion needs no layer",
        ),
        pytest.param(
            {"explain": {"method": "integrated_gradients"}},
            Explain(method=Explained.INTEGRATED_GRADIENTS),
            id="nor do integrated gradients",
        ),
    ],
)
def test_a_model_says_how_it_is_explained(said: dict[str, object], meant: Explain | None) -> None:
    """In one of two forms."""
    w = Wording(said, "model")
    assert explain_of(w) == meant
    w.no_more()
    assert w.mistakes == []


@pytest.mark.parametrize(
    ("said", "mistake"),
    [
        ({"explain": {"method": "guess"}}, "explain.method: must be one of grad_cam"),
        ({"explain": {"method": "grad_cam"}}, "explain.layer: is missing"),
        ({"explain": {"method": "occlusion", "layer": "x"}}, "explain.layer: unknown key"),
        ({"explain": "occlusion"}, "explain: must be a mapping"),
        (
            {"explain": {"method": "occlusion"}, "explain_layer": "x"},
            "explain_layer: stands beside explain",
        ),
    ],
)
def test_what_cannot_be_meant_is_told(said: dict[str, object], mistake: str) -> None:
    """A word that is silently ignored is worse than an error."""
    w = Wording(said, "model")
    explain_of(w)
    assert any(mistake in one for one in w.mistakes)
