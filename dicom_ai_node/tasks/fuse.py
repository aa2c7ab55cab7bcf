"""Kind `fuse`: one of several classes from several images and what is known of the patient."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from dicom_ai_node.domain.clinical import KnownFact, told_vector, unknown
from dicom_ai_node.domain.errors import TaskFailed
from dicom_ai_node.domain.explaining import Explain, explain_of
from dicom_ai_node.domain.findings import Classification, Findings
from dicom_ai_node.domain.image import Image
from dicom_ai_node.domain.model import ModelFacts
from dicom_ai_node.domain.pictures import HeatMap
from dicom_ai_node.domain.progress import Phase, during
from dicom_ai_node.domain.rule import Option
from dicom_ai_node.domain.scaling import reference_of, scaled
from dicom_ai_node.domain.wording import Wording
from dicom_ai_node.neural.attribution import ANSWERED, Explainer
from dicom_ai_node.neural.memory import Ladder


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What only a model that fuses has."""

    temperature: float = 1.0  # logits are divided by it before softmax
    explain: Explain | None = None  # how a heat map is made


class Fuse:
    """Says which class a patient's images together are of, beside what is known of the patient.

    Parameters
    ----------
    facts
        Inputs, clinical facts and classes.
    settings
        Temperature, and how an answer is explained.
    network
        Takes (1, inputs, slices, rows, columns) float32 and, if the model asks for clinical facts,
        (1, 2 * facts) as `domain.clinical.told_vector` says; gives (1, classes) logits.
    device
        Where the network lies.
    known
        What is known of the patient; nothing, as long as nobody has said.

    Raises
    ------
    ModelUnusable
        If the network has no layer of the name in the settings.
    """

    has = ("classes",)

    def __init__(
        self,
        facts: ModelFacts,
        settings: Settings,
        network: torch.nn.Module,
        device: str = "cpu",
        *,
        known: Sequence[KnownFact] = (),
    ) -> None:
        self._facts = facts
        self._settings = settings
        self._network = network
        self._device = device
        self._known = tuple(known) or unknown(facts.clinical)
        self._ladder = Ladder(device)
        self._explainer: Explainer | None = None
        if settings.explain is not None:
            self._explainer = Explainer(settings.explain, network, facts.name)

    @staticmethod
    def settings(w: Wording, facts: ModelFacts) -> Settings:
        """Return what `settings` of the model says."""
        if not facts.inputs:
            w.wrong("", "a model that fuses has several `inputs`")
        if len(facts.classes) == 1:
            w.wrong("", "a model that fuses has at least 2 classes: one excludes nothing")
        temperature = w.number("temperature", 1.0)
        if temperature <= 0:
            w.wrong("temperature", "must be above 0")
        return Settings(temperature=temperature, explain=explain_of(w))

    def knowing(self, known: Sequence[KnownFact]) -> "Fuse":
        """Return the task as it answers for a patient of whom this is known."""
        return Fuse(self._facts, self._settings, self._network, self._device, known=known)

    def __call__(self, inputs: Mapping[str, Image], options: Mapping[str, Option]) -> Findings:
        """Return the probabilities of all classes for `inputs`, which lie on one grid.

        A heat map of the reported class is made if the model says how, unless the option `explain`
        is false.

        Raises
        ------
        TaskFailed
            If the inputs are not those of the model or do not lie on one grid, or the network
            gives something else than finite logits of the right shape.
        OutOfResources
            If there is not enough memory.
        """
        reference = reference_of(inputs, self._facts)
        if any(image.array.shape != reference.array.shape for image in inputs.values()):
            raise TaskFailed(f"the inputs of {self._facts.name} do not lie on one grid")
        stack = [scaled(inputs[name], self._facts, name) for name in self._facts.inputs]
        images = torch.from_numpy(np.stack(stack))[None]
        explains = self._explainer is not None and bool(options.get("explain", True))
        with during(Phase.RUNNING, high=ANSWERED if explains else 1):
            chances, remarks = self._ladder.climb(
                tuple(images.shape), lambda _: self._chances(images)
            )
        present = int(chances.argmax())
        heat = None
        if self._explainer is not None and explains:
            explainer = self._explainer
            with during(Phase.EXPLAINING, ANSWERED):
                array, _ = self._ladder.climb(
                    ("heat", *images.shape), lambda _: self._heat(explainer, images, present)
                )
            heat = HeatMap(array=array, sources=reference.sources, of=present, by=explainer.method)
        return Findings(
            classification=Classification(
                classes=self._facts.classes,
                probabilities=tuple(map(float, chances)),
                present=present,
                sources=reference.sources,
            ),
            heat_map=heat,
            clinical=self._known,
            notes=remarks,
        )

    def _chances(self, images: torch.Tensor) -> NDArray[np.float64]:
        with torch.inference_mode():
            logits = self._logits(images.to(self._device)).double().cpu()
            found: NDArray[np.float64] = (logits / self._settings.temperature).softmax(1)[0].numpy()
        return found

    def _logits(self, images: torch.Tensor) -> torch.Tensor:
        told = torch.from_numpy(told_vector(self._known, self._facts.clinical))[None]
        given = (images, told.to(images.device)) if self._facts.clinical else (images,)
        logits = self._network(*given)
        wanted = (1, len(self._facts.classes))
        if not isinstance(logits, torch.Tensor) or tuple(logits.shape) != wanted:
            raise TaskFailed(f"{self._facts.name}: the network did not give logits of {wanted}")
        if not bool(torch.isfinite(logits).all()):
            raise TaskFailed(f"{self._facts.name}: the network gave values that are no numbers")
        return logits

    def _heat(self, explainer: Explainer, images: torch.Tensor, of: int) -> NDArray[np.float16]:
        """Return (slices, rows, columns) in 0..1: where is what speaks for one class."""

        def score(given: torch.Tensor) -> torch.Tensor:
            return self._logits(given).log_softmax(1)[:, of]

        heat = explainer.heat(score, [images.to(self._device)])[0]
        found: NDArray[np.float16] = heat.half().numpy()
        return found
