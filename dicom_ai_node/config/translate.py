"""From what the file says to what the domain talks about."""

import hashlib
import json
from collections.abc import Mapping
from types import MappingProxyType

from dicom_ai_node.config.node import NodeConfig
from dicom_ai_node.config.routes import ConditionEntry, RouteEntry
from dicom_ai_node.config.sections import (
    AnyDestination,
    DestinationTls,
    DimseDestination,
    FolderDestination,
    Similar,
    WebDestination,
)
from dicom_ai_node.domain.destination import Destination, DimsePeer, FolderPeer, PeerTls, WebPeer
from dicom_ai_node.domain.orders import KEY_OBJECTS
from dicom_ai_node.domain.proof import Proof
from dicom_ai_node.domain.rule import (
    COMPARE,
    SIMILAR,
    Absent,
    Between,
    Condition,
    Contains,
    Input,
    Matches,
    Not,
    Option,
    Priority,
    Route,
    one_of,
)
from dicom_ai_node.domain.uids import AETitle

ONLY_INPUT = "image"
"""The name of the input of a route that says `when`."""

_TAKES_ALL: Mapping[str, Option] = MappingProxyType(
    dict.fromkeys(("allow_derived", "allow_doppler", "allow_unscaled"), True)
)
"""What would be wrong to measure can still be looked for."""

_Said = str | tuple[str, ...] | ConditionEntry


def routes(config: NodeConfig) -> tuple[Route, ...]:
    """Return the routes in their order, and the one of the node's own that fills its index."""
    own = () if config.similar is None else (_placing(config.similar),)
    return (*map(_route, config.routes), *own)


def destinations(config: NodeConfig) -> Mapping[str, Destination]:
    """Return the destinations by name, secrets included.

    Raises
    ------
    ConfigError
        If a secret is not where the file says.
    """
    return {name: _destination(name, entry, config) for name, entry in config.destinations.items()}


def serve_token(config: NodeConfig) -> str | None:
    """Return what makes whoever says it by HTTP an admin, `None` if nothing does.

    Raises
    ------
    ConfigError
        If it is not where the file says.
    """
    if config.serve is None or config.serve.token is None:
        return None
    return config.serve.token.value


def condition(said: _Said) -> Condition:
    """Return the condition that an entry of `when` stands for."""
    match said:
        case str():
            return one_of(said)
        case tuple():
            return one_of(*said)
        case ConditionEntry():
            return _entry(said)


def _entry(said: ConditionEntry) -> Condition:
    match said:
        case ConditionEntry(contains=tuple() as texts):
            return Contains(frozenset(texts))
        case ConditionEntry(matches=str() as pattern):
            return Matches(pattern)
        case ConditionEntry(one_of=tuple() as texts):
            return one_of(*texts)
        case ConditionEntry(not_=inner) if inner is not None:
            return Not(condition(inner))
        case ConditionEntry(absent=None, present=None):
            return Between(said.min, said.max)
        case _:
            return Absent(not said.present if said.absent is None else said.absent)


def revision(entry: RouteEntry) -> str:
    """Return the sha256 of a route as configured; it changes with every change of meaning.

    Over its canonical JSON without what is left at its default, so that neither the layout of
    the file nor a key that a later version adds makes another revision.
    """
    said = entry.model_dump(mode="json", by_alias=True, exclude_defaults=True)
    canonical = json.dumps(said, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()


def _route(entry: RouteEntry) -> Route:
    return Route(
        name=entry.name,
        inputs=_inputs(entry),
        run=entry.run,
        model=entry.model,
        write=entry.write,
        to=entry.to,
        same=entry.same,
        options=_options(entry),
        priority=Priority[entry.priority.upper()],
        wait_seconds=entry.wait_seconds,
        revision=revision(entry),
    )


def _options(entry: RouteEntry) -> Mapping[str, Option]:
    """Return what a worker is told: a key that is left out is no option."""
    options: dict[str, Option] = dict(entry.with_)
    if entry.guard is not None:
        options["guard"] = entry.guard
    if entry.report_declined:
        options["report_declined"] = True
    if entry.compare_earlier:
        options[COMPARE] = True
    return options


def _placing(said: Similar) -> Route:
    """Return the route that takes every series which its model takes.

    It writes nothing, unless somebody wants to know of earlier studies that look alike.
    """
    return Route(
        name=SIMILAR,
        inputs=(_input(ONLY_INPUT, {}, None),),
        run="retrieve",
        model=said.model,
        write=(KEY_OBJECTS,) if said.to else (),
        to=said.to,
        options=_TAKES_ALL,
        revision=" ".join((SIMILAR, *said.to)),
    )


def _inputs(entry: RouteEntry) -> tuple[Input, ...]:
    if entry.inputs is None:
        return (_input(ONLY_INPUT, entry.when or {}, entry.if_),)
    return tuple(
        _input(name, {k: v for k, v in when.items() if k != "if"}, _text(when.get("if")))
        for name, when in entry.inputs.items()
    )


def _text(said: _Said | None) -> str | None:
    return said if isinstance(said, str) else None


def _input(name: str, when: Mapping[str, _Said], expression: str | None) -> Input:
    return Input(
        name=name,
        when={key: condition(said) for key, said in when.items()},
        expression=expression,
    )


def _destination(name: str, entry: AnyDestination, config: NodeConfig) -> Destination:
    match entry:
        case DimseDestination():
            calling = entry.calling_ae_title or config.receive.ae_title
            return DimsePeer(
                ae_title=AETitle(entry.ae_title),
                host=entry.host,
                port=entry.port,
                calling_ae_title=AETitle(calling),
                tls=None if entry.tls is None else _tls(name, entry.tls, entry.host),
                proof=Proof(entry.proof),
                proof_seconds=entry.proof_seconds,
            )
        case WebDestination():
            token = None if entry.token is None else entry.token.value
            return WebPeer(url=entry.url, token=token, proof=Proof(entry.proof))
        case FolderDestination():
            return FolderPeer(folder=entry.folder)


def _tls(name: str, said: DestinationTls, host: str) -> PeerTls:
    return PeerTls(
        place=f"destinations.{name}.tls",
        name=said.name or host,
        trusted=said.trusted,
        revoked=said.revoked,
        fingerprint=said.fingerprint,
        certificate=said.certificate,
        key=said.key,
    )
