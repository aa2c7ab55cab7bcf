"""Write the reference pages from the code, so that they cannot drift from it (an mkdocs hook)."""

import json
from collections.abc import Iterator, Mapping
from importlib import import_module
from typing import Any

import typer
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from pydicom.uid import UID

from dicom_ai_node import compose
from dicom_ai_node.cli import app
from dicom_ai_node.config import NodeConfig
from dicom_ai_node.deliver.judge import HTTP_STATUSES, REJECTIONS, STATUSES, Verdict
from dicom_ai_node.domain import errors
from dicom_ai_node.domain.reject import RejectCode
from dicom_ai_node.domain.vocabulary import FACTS
from dicom_ai_node.encode import OUTPUTS
from dicom_ai_node.infer.catalog import Catalog
from dicom_ai_node.receive.contexts import (
    PLAIN_SYNTAXES,
    QUERY_RETRIEVE,
    STORAGE_COMMITMENT,
    TRANSFER_SYNTAXES,
    VERIFICATION,
    storage_classes,
)
from dicom_ai_node.receive.meanings import MEANINGS


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add one generated page per reference."""
    pages = {
        "configuration": _configuration(),
        "facts": _facts(),
        "rejections": _rejections(),
        "statuses": _statuses(),
        "services": _services(),
        "command-line": _command_line(),
        "models": _models(),
        "objects": _objects(),
        "robustness": _robustness(),
    }
    for name, lines in pages.items():
        text = "\n".join(lines) + "\n"
        files.append(File.generated(config, f"reference/{name}.md", content=text))
    return files


def _configuration() -> Iterator[str]:
    yield "# Configuration"
    yield ""
    yield "`dicom-ai-node check FILE` tells every mistake at once, with its line."
    schema = NodeConfig.model_json_schema(by_alias=True)
    yield from _section("the file", schema, schema.get("$defs", {}))
    for name, definition in schema.get("$defs", {}).items():
        if definition.get("properties"):
            yield from _section(name, definition, schema["$defs"])


def _section(name: str, definition: Mapping[str, Any], known: Mapping[str, Any]) -> Iterator[str]:
    yield ""
    yield f"## {name}"
    yield ""
    yield str(definition.get("description", "")).split("\n\n")[0].replace("\n", " ")
    yield ""
    yield "| key | type | default | meaning |"
    yield "|---|---|---|---|"
    for key, field in definition.get("properties", {}).items():
        default = json.dumps(field["default"], default=str) if "default" in field else "required"
        if key not in definition.get("required", ()) and default == "required":
            default = ""
        meaning = str(field.get("description", "")).replace("\n", " ").replace("|", "\\|")
        yield f"| `{key}` | {_type(field, known)} | `{default}` | {meaning} |".replace("``", "")


def _type(field: Mapping[str, Any], known: Mapping[str, Any]) -> str:
    if "$ref" in field:
        name = field["$ref"].rsplit("/", 1)[-1]
        values = known.get(name, {}).get("enum")
        return " or ".join(f"`{v}`" for v in values) if values else f"[{name}](#{name.lower()})"
    if "anyOf" in field or "oneOf" in field:
        return " or ".join(_type(one, known) for one in field.get("anyOf") or field["oneOf"])
    if field.get("type") == "array":
        return f"list of {_type(field.get('items', {}), known)}"
    if field.get("type") == "object" and isinstance(field.get("additionalProperties"), dict):
        return f"mapping of {_type(field['additionalProperties'], known)}"
    if "const" in field:
        return f"`{field['const']}`"
    return str(field.get("type", "anything")).replace("null", "nothing")


def _facts() -> Iterator[str]:
    yield "# Facts for conditions"
    yield ""
    yield "Besides every DICOM keyword, `when` and `if` know these, derived from the series:"
    yield ""
    yield "| name | type | meaning |"
    yield "|---|---|---|"
    for word in FACTS.values():
        values = f" ({', '.join(word.values)})" if word.values else ""
        yield f"| `{word.name}` | {word.kind} | {word.meaning}{values} |"


def _rejections() -> Iterator[str]:
    yield "# Rejections and who acts"
    yield ""
    yield "A job that ends as `rejected` has one of these codes. The series stays stored."
    yield ""
    yield "| code | meaning | who acts | UPS reason (CID 9300) |"
    yield "|---|---|---|---|"
    for code in RejectCode:
        yield f"| `{code.name}` | {code.meaning} | {code.who} | {code.ups_reason} |"


def _statuses() -> Iterator[str]:
    yield "# Status codes"
    yield ""
    yield "## What this node answers to a C-STORE"
    yield ""
    yield "| status | when | who acts |"
    yield "|---|---|---|"
    yield "| 0x0000 | the bytes are on the disk and in the ledger, now or before | nobody |"
    for kind in (errors.NotStorable, errors.NotUnderstood, errors.OutOfResources):
        said = (kind.__doc__ or "").split("\n")[0]
        yield f"| 0x{kind.dimse_status:04X} | {said} | {kind('').who} |"
    yield "| 0x0124 | The peer is in `receive.accept_from` without `may: [store]`. | the operator |"
    yield ""
    yield "## What this node answers to a query"
    yield ""
    yield "| status | to | when | who acts |"
    yield "|---|---|---|---|"
    for it in MEANINGS:
        yield f"| 0x{it.status:04X} | {it.commands} | {it.when} | {it.who} |"
    yield ""
    yield "## What the answer of a destination means"
    yield ""
    yield from _verdicts(STATUSES, "0x{:04X}")
    yield ""
    yield "## What the refusal of an association means"
    yield ""
    yield "| source, reason | meaning | who acts |"
    yield "|---|---|---|"
    for it in REJECTIONS:
        yield f"| {it.source}, {it.reason} | {it.meaning} | {it.advice} |"
    yield ""
    yield "## What an HTTP status of a STOW-RS service means"
    yield ""
    yield from _verdicts(HTTP_STATUSES, "{}")


_COMMITS = (
    "What it commits to it keeps for `store.keep_days`, counted from the answer to the request; lack",
    "of room does not shorten that, and only a person may delete it earlier.",
    "",
)


def _services() -> Iterator[str]:
    yield "# DIMSE services"
    yield ""
    yield "What the node provides on `receive.port` and, over TLS, on `receive.tls.port`: one"
    yield "operation at a time per association, in PDUs of at most `receive.max_pdu_bytes`. As a user"
    yield "it sends C-STORE to `destinations`, with one context per SOP class and transfer syntax;"
    yield "N-ACTION of storage commitment, or C-FIND (Study Root, level IMAGE), to those with a `proof`;"
    yield "and N-EVENT-REPORT, as the provider by role selection, to those that have asked us."
    yield from _COMMITS
    yield "| SOP class | UID | role of the node | transfer syntaxes |"
    yield "|---|---|---|---|"
    plain = ", ".join(UID(uid).name for uid in PLAIN_SYNTAXES)
    for uid in (VERIFICATION, *QUERY_RETRIEVE):
        yield f"| {UID(uid).name} | {uid} | provider | {plain} |"
    commits = "provider; user, also as the other side of the association"
    yield f"| {UID(STORAGE_COMMITMENT).name} | {STORAGE_COMMITMENT} | {commits} | {plain} |"
    count = len(storage_classes())
    both = "provider; user within a C-GET, by role selection"
    yield f"| {count} storage classes, listed below | | {both} | listed below |"
    yield ""
    yield "By extended negotiation of the query/retrieve classes, relational queries and retrieval,"
    yield "combined matching of date and time, and fuzzy matching of names are agreed upon, but"
    yield "neither timezone adjustment nor conversion of multi-frame objects. Asynchronous"
    yield "operations and user identities (PS3.7 D.3.3.7) are not answered."
    yield ""
    yield "## Transfer syntaxes of stored objects, in the order of preference"
    yield ""
    for uid in TRANSFER_SYNTAXES:
        yield f"- {UID(uid).name} ({uid})"
    yield ""
    yield "## Storage classes"
    yield ""
    for uid in sorted(storage_classes(), key=lambda uid: UID(uid).name):
        yield f"- {UID(uid).name} ({uid})"


def _verdicts(table: Any, form: str) -> Iterator[str]:  # noqa: ANN401 - a sequence of Verdict
    yield "| status | meaning | who acts |"
    yield "|---|---|---|"
    for verdict in table:
        assert isinstance(verdict, Verdict)  # noqa: S101
        first, last = form.format(verdict.first), form.format(verdict.last)
        span = first if first == last else f"{first} to {last}"
        yield f"| {span} | {verdict.meaning} | {verdict.advice} |"


def _command_line() -> Iterator[str]:
    yield "# Command line"
    group = typer.main.get_command(app)
    for name, command in sorted(group.commands.items()):  # type: ignore[attr-defined]
        yield from _command(name, command)


def _command(name: str, command: Any) -> Iterator[str]:  # noqa: ANN401 - typer brings its own click
    yield ""
    yield f"## {name}"
    yield ""
    yield "```text"
    yield command.get_help(typer.Context(command, info_name=f"dicom-ai-node {name}"))
    yield "```"
    for inner, one in sorted(getattr(command, "commands", {}).items()):
        yield from _command(f"{name} {inner}", one)


def _models() -> Iterator[str]:
    catalog = Catalog([compose.SHIPPED_MODELS])
    yield "# Models"
    for name in catalog.names():
        card = (catalog.facts(name).folder / "docs" / "README.md").read_text(encoding="utf-8")
        yield ""
        yield card.replace("\n#", "\n##").replace("# ", "## ", 1)


def _objects() -> Iterator[str]:
    yield "# DICOM objects"
    yield ""
    yield "| `write` | what it makes |"
    yield "|---|---|"
    for name in OUTPUTS:
        said = import_module(f"dicom_ai_node.encode.{name}").__doc__ or ""
        yield f"| `{name}` | {said.strip().replace(chr(10), ' ')} |"


def _robustness() -> Iterator[str]:
    yield "# Attacks and the guard"
    yield ""
    yield "Measured on the test part by `python -m dicom_ai_node.training.robustness`. FGSM and"
    yield "PGD know the network; *adaptive* attacks know the guard, too, and want to stay"
    yield "unnoticed. The reach is per pixel, of 255 parts of the range of the model's scaling."
    yield "An answer is harmed if its value gets worse by more than 0.1 (1 dB, 1 px). See"
    yield "[what the guard measures](../how-to/guard.md)."
    reports = sorted(compose.SHIPPED_MODELS.glob("*/docs/robustness.json"))
    if not reports:
        yield "**No model has been measured in this way yet.**"
    for path in reports:
        report = json.loads(path.read_text(encoding="utf-8"))
        yield ""
        yield f"## {report['model']}"
        yield ""
        if "8 of 255" in report:
            yield f"8 of 255 are {report['8 of 255']}."
            yield ""
        yield (
            f"| attack | images | {report['measure']} | the same, `purify` | reported "
            "| harmed | harmed and not reported | AUC of the perturbation score |"
        )
        yield "|---|---|---|---|---|---|---|---|"
        for name, row in report["rows"].items():
            yield f"| {name} | {' | '.join(_robust_cells(row))} |"


def _robust_cells(row: Mapping[str, float]) -> Iterator[str]:
    yield f"{row['images']:.0f}"
    for key in ("score", "score, guard: purify"):
        yield f"{row[key]:.3f}"
    for key in ("reported", "harmed", "harmed and not reported"):
        yield f"{100 * row[key]:.1f} %"
    if "AUC" in row:
        yield f"{row['AUC']:.3f} ({row['AUC, low']:.3f} to {row['AUC, high']:.3f})"
    else:
        yield ""
