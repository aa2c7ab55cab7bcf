"""By which the processes of a node on one machine wake each other."""

from collections.abc import Mapping
from dataclasses import dataclass

from dicom_ai_node import config as configuration
from dicom_ai_node.config import NodeConfig
from dicom_ai_node.store.bell import Bell


@dataclass(frozen=True, slots=True, kw_only=True)
class Bells:
    """By which the desks wake each other: one for each loop that others give something to do."""

    complete: Bell
    infer: Bell
    encode: Bell
    deliver: Mapping[str, Bell]


def bells(config: NodeConfig) -> Bells:
    """Return the bells of the node, as one process hears or rings them."""
    folder = config.store.folder / "bells"
    return Bells(
        complete=Bell(folder / "complete"),
        infer=Bell(folder / "infer"),
        encode=Bell(folder / "encode"),
        deliver={
            name: Bell(folder / f"deliver-{name}") for name in configuration.destinations(config)
        },
    )
