"""The models that this node has: one folder each, in the layout of a MONAI bundle."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import MappingProxyType

from dicom_ai_node.domain.errors import ConfigError, ModelUnusable
from dicom_ai_node.domain.model import ModelFacts
from dicom_ai_node.domain.uids import Sha256
from dicom_ai_node.infer.facts import facts_in
from dicom_ai_node.infer.formats import FORMATS
from dicom_ai_node.infer.sealed import SealedFolder, listed
from dicom_ai_node.infer.trust import Trust

FACTS = "configs/dicom.yaml"
GUARD = "models/guard.safetensors"


class Catalog:
    """Finds models by name in several folders of model folders.

    Nothing is loaded but YAML; the catalogue is as cheap in the dispatcher as in a worker. It is
    read once: a folder that changes later is another model, and a worker will refuse it.

    Parameters
    ----------
    folders
        Each holds model folders; a folder without `configs/dicom.yaml` is none.
    trust
        Who vouches for models that can run code; nobody if it is `None`.

    Raises
    ------
    ConfigError
        If two folders have a model of the same name, or a list of models cannot be read.
    """

    def __init__(self, folders: Sequence[Path], trust: Trust | None = None) -> None:
        self.trust = trust or Trust()
        found: dict[str, Path] = {}
        self._listed = {folder: _listed(folder) for folder in folders}
        for path in (path for folder in folders for path in sorted(folder.glob(f"*/{FACTS}"))):
            model = path.parents[1]
            if model.name in found:
                raise ConfigError(f"{model.name}: there are two models of this name")
            found[model.name] = model
        self._found: Mapping[str, Path] = MappingProxyType(found)
        self._read: dict[str, ModelFacts] = {}

    def names(self) -> tuple[str, ...]:
        """Return the names of all models."""
        return tuple(sorted(self._found))

    def folder(self, name: str) -> Path:
        """Return the folder of a model.

        Raises
        ------
        ConfigError
            If there is none of this name.
        """
        if name not in self._found:
            raise ConfigError(f"{name}: no such model; there are {', '.join(self.names())}")
        return self._found[name]

    def facts(self, name: str) -> ModelFacts:
        """Return what a model says about itself.

        Raises
        ------
        ConfigError
            With every mistake in its folder, one a line; see `facts_in`. Also if the folder in
            which it lies lists its models, as the one that comes with the node does, and it is
            another one or not listed.
        """
        if name not in self._read:
            facts = _facts(self.folder(name))
            known = self._listed[facts.folder.parent]
            if known is not None and known.get(name) != facts.digest:
                raise ConfigError(
                    f"{name}: this is not the model that came with the node; install the node"
                    " again, or give your own another name and a folder of `infer.models`"
                )
            self._read[name] = facts
        return self._read[name]

    def device_uids(self) -> frozenset[str]:
        """Return by what the results of all models are known that can be read.

        A folder that cannot be read is told where a route wants it; it keeps nobody else from work.
        """
        found = set()
        for name in self.names():
            with suppress(ConfigError):
                found.add(self.facts(name).device_uid)
        return frozenset(found)

    def verify(self, name: str) -> None:
        """Compare every file of a model with its SHA256SUMS.

        Raises
        ------
        ModelUnusable
            Naming the first file that differs and the sha256 that was expected.
        """
        SealedFolder(self.folder(name)).verify()


def _listed(folder: Path) -> Mapping[str, Sha256] | None:
    try:
        return listed(folder)
    except ModelUnusable as wrong:
        raise ConfigError(str(wrong)) from wrong


def _facts(folder: Path) -> ModelFacts:
    try:
        sealed = SealedFolder(folder)
        content = (folder / FACTS).read_bytes()
    except (ModelUnusable, OSError) as wrong:
        raise ConfigError(f"{folder.name}: SHA256SUMS or {FACTS} cannot be read") from wrong
    mistakes = [
        f"{folder.name}: {name} is missing"
        for name in sorted({*sealed.sums, FACTS})
        if not (folder / name).is_file()
    ]
    facts = facts_in(content, folder, sealed.digest, mistakes)
    needed = (FACTS, *FORMATS[facts.network.format].needs)
    if unlisted := [name for name in needed if name not in sealed.sums]:
        raise ConfigError(
            "\n".join(f"{folder.name}: {name} is not in SHA256SUMS" for name in unlisted)
        )
    if facts.golden.file not in sealed.sums:
        raise ConfigError(f"{folder.name}.golden.file: {facts.golden.file} is not in SHA256SUMS")
    if facts.guard is not None and GUARD not in sealed.sums:
        raise ConfigError(f"{folder.name}.guard: {GUARD} is not in SHA256SUMS")
    return facts
