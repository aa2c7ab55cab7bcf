"""The operator is told every mistake at once, each with its line and what was meant."""

import json
from pathlib import Path
from textwrap import dedent

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dicom_ai_node.config import NodeConfig, load, model_folders
from dicom_ai_node.domain.errors import ConfigError
from dicom_ai_node.domain.reject import Who

MODELS = {"hippocampus_mr", "ct_tissue", "lung_fields_cxr", "fetal_head_us"}
OUTPUTS = {"segmentation", "structured_report", "secondary_capture"}

SMALLEST = """\
receive: {ae_title: AI_NODE, accept_from: [PACS]}
store: {folder: node}
routes:
  - name: hippocampus
    when: {Modality: MR}
    run: segment
    model: hippocampus_mr
    write: [segmentation]
    to: [pacs]
destinations:
  pacs: {ae_title: PACS, host: pacs.example.org, port: 104}
"""
"""Eleven lines are a node. Tests change one of them and expect its number in the message."""

ROUTE = SMALLEST[SMALLEST.index("  - name") : SMALLEST.index("destinations")]


def read(folder: Path, content: str | bytes) -> NodeConfig:
    """Load a file with this content."""
    path = folder / "ae_config.yaml"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return load(path, models=MODELS, outputs=OUTPUTS, kinds={"segment"})


def mistakes(folder: Path, content: str | bytes) -> list[str]:
    """Return the lines of the error."""
    with pytest.raises(ConfigError) as caught:
        read(folder, content)
    assert caught.value.who is Who.OPERATOR
    return str(caught.value).splitlines()


def test_eleven_lines_are_a_node(tmp_path: Path) -> None:
    """Everything else has a default."""
    config = read(tmp_path, SMALLEST)
    assert (config.receive.port, config.receive.host) == (11112, "0.0.0.0")  # noqa: S104
    assert config.infer.devices == ("cpu",)
    assert config.complete.times("MR") == (30.0, 5.0, 300.0)
    assert config.store.database_url == f"sqlite:///{tmp_path / 'node' / 'node.db'}"
    assert config.encode.content_qualification == "RESEARCH"


def test_with_tls_the_open_port_is_closed_unless_it_is_named(tmp_path: Path) -> None:
    """And 2762 is the port; a fingerprint is one with colons or without."""
    tls = "tls: {certificate: c, key: k, trusted: ca}"
    digits = "AB" * 32
    said = ":".join(["AB"] * 32)
    accept = f"accept_from: [PACS, {{ae_title: CT1, certificate: {said}}}]"
    config = read(tmp_path, SMALLEST.replace("accept_from: [PACS]", f"{accept}, {tls}"))
    assert config.receive.ports == (2762,)
    assert config.receive.accept_from[1].certificate == digits.lower()
    both = SMALLEST.replace("accept_from: [PACS]", f"accept_from: [PACS], port: 104, {tls}")
    assert read(tmp_path, both).receive.ports == (104, 2762)


OLD_TO_NEW = [
    # receive
    ("ae_title: AI_NODE", "ae_title: AI_NODE_OF_RADIOLOGY", 1, "receive.ae_title: an AE title has at most 16 characters, and AI_NODE_OF_RADIOLOGY has 20"),
    ("ae_title: AI_NODE", r"ae_title: 'AI\NODE'", 1, "receive.ae_title: an AE title has printable ASCII characters and no backslash"),
    ("ae_title: AI_NODE", "ae_title: '  '", 1, "receive.ae_title: an AE title has printable ASCII characters and no backslash"),
    ("ae_title: AI_NODE", "ae_title: 4711", 1, "receive.ae_title: must be text; put it in quotes"),
    ("ae_title: AI_NODE", "ae_title: ", 1, "receive.ae_title: is empty"),
    ("ae_title: AI_NODE, ", "", 1, "receive.ae_title: is missing"),
    ("accept_from: [PACS]", "accept_from: []", 1, "receive.accept_from: must not be empty"),
    ("accept_from: [PACS]", "accept_from: PACS", 1, "receive.accept_from: must be a list"),
    ("accept_from: [PACS]", "accept_from: [PACS, 12]", 1, "receive.accept_from #2: must be an AE title in quotes, or {ae_title: ..., address: ...}"),
    ("accept_from: [PACS]", "accept_from: [{ae_title: CT1, adress: 10.1.2.3}]", 1, "receive.accept_from #1.adress: is not known here; did you mean address?"),
    ("accept_from: [PACS]", "accept_from: [{ae_title: CT1, address: 10.1.2}]", 1, "receive.accept_from #1.address: 10.1.2 is not an IP address or a network such as 10.1.2.0/24"),
    ("accept_from: [PACS]", "accept_from: [{ae_title: CT1, may: [read]}]", 1, "receive.accept_from #1.may #1: must be 'store' or 'query', not 'read'"),
    ("accept_from: [PACS]", "accept_from: [{ae_title: '*', may: [query]}]", 1, 'receive.accept_from #1: whoever may query needs an ae_title other than "*", an address or a certificate'),
    ("accept_from: [PACS]", "accept_from: [{ae_title: CT1, certificate: ct1}]", 1, "receive: nobody can show the certificate of CT1 without tls.trusted"),
    ("accept_from: [PACS]", "accept_from: [{ae_title: CT1, certificate: 'AB:CD:EF'}]", 1, "receive.accept_from #1.certificate: is no fingerprint: 64 digits from 0 to f, as `openssl x509 -noout -fingerprint -sha256 -in FILE` tells"),
    ("accept_from: [PACS]", "accept_from: [{ae_title: CT1, certificate: '*'}]", 1, "receive.accept_from #1.certificate: must be the fingerprint of a certificate, or a name in it"),
    ("accept_from: [PACS]", "accept_from: [PACS], port: ", 1, "receive: without a port and without tls nobody can send"),
    ("accept_from: [PACS]", "accept_from: [PACS], port: 2762, tls: {certificate: c, key: k}", 1, "receive: port and tls.port are both 2762"),
    ("accept_from: [PACS]", "accept_from: [PACS], tls: {certificate: c}", 1, "receive.tls.key: is missing"),
    ("accept_from: [PACS]", "accept_from: [PACS], tls: {certificate: c, key: k, profile: bcp195}", 1, "receive.tls.profile: must be 'rfc8996' or 'rfc8996-modified', not 'bcp195'"),
    ("port: 104", "port: 104, tls: {}", 11, "destinations.pacs.tls: needs trusted or fingerprint, or anybody could pose as it"),
    ("port: 104", "port: 104, tls: {fingerprint: abc}", 11, "destinations.pacs.tls.fingerprint: is no fingerprint: 64 digits from 0 to f, as `openssl x509 -noout -fingerprint -sha256 -in FILE` tells"),
    ("port: 104", "port: 104, tls: {trusted: ca, key: k}", 11, "destinations.pacs.tls: certificate and key belong together"),
    ("accept_from: [PACS]", "accept_from: [PACS], port: 70000", 1, "receive.port: must be at most 65535, not 70000"),
    ("accept_from: [PACS]", "accept_from: [PACS], port: 0", 1, "receive.port: must be at least 1, not 0"),
    ("accept_from: [PACS]", "accept_from: [PACS], port: http", 1, "receive.port: must be a whole number, not http"),
    ("accept_from: [PACS]", "accept_from: [PACS], prot: 104", 1, "receive.prot: is not known here; did you mean port?"),
    ("accept_from: [PACS]", "accept_from: [PACS], deadlines: {pdu: 3}", 1, "receive.deadlines.pdu: is not known here; did you mean pdu_seconds?"),
    ("accept_from: [PACS]", "accept_from: [PACS], ae_title: X", 1, "receive.ae_title: is here already, in line 1"),
    # store
    ("store: {folder: node}", "store: {}", 2, "store.folder: is missing"),
    ("store: {folder: node}", "store: node", 2, "store: must hold keys and values"),
    ("store: {folder: node}", "store: {folder: node, keep_days: -1}", 2, "store.keep_days: must be at least 0, not -1"),
    ("store: {folder: node}", "store: {folder: node, keep_days: .nan}", 2, "store.keep_days: must be a number"),
    ("store: {folder: node}", "store: {folder: node, database: mysql://x}", 2, "store.database: must begin with sqlite:// or postgresql+psycopg://"),
    # complete, infer, encode
    ("store: {folder: node}", "store: {folder: node}\ncomplete: {quiet_seconds: 0}", 3, "complete.quiet_seconds: must be more than 0, not 0"),
    ("store: {folder: node}", "store: {folder: node}\ncomplete: {modality: {us: {}}}", 3, "complete.modality.us: us is no Modality: capitals and digits such as MR, PS3.3 C.7.3.1.1.1"),
    ("store: {folder: node}", "store: {folder: node}\ncomplete: {modality: {US: {quite_seconds: 3}}}", 3, "complete.modality.US.quite_seconds: is not known here; did you mean quiet_seconds?"),
    ("store: {folder: node}", "store: {folder: node}\ncomplet: {}", 3, "complet: is not known here; did you mean complete?"),
    ("store: {folder: node}", "store: {folder: node}\ninfer: {devices: [gpu]}", 3, "infer.devices #1: gpu is not a device; write cpu, or cuda:0 for the first GPU"),
    ("store: {folder: node}", "store: {folder: node}\ninfer: {attempts: 2.5}", 3, "infer.attempts: must be a whole number, not 2.5"),
    ("store: {folder: node}", "store: {folder: node}\nencode: {content_qualification: research}", 3, "encode.content_qualification: must be 'RESEARCH', 'PRODUCT' or 'SERVICE', not 'research'"),
    # names in routes
    ("name: hippocampus", "name: hippo campus", 4, "routes.hippo campus.name: hippo campus is no name: a letter, then letters, digits, _ and -, at most 40 together"),
    ("run: segment", "run: segmnt", 6, "routes.hippocampus.run: segmnt is not a kind of task; did you mean segment?"),
    ("run: segment", "run: classify", 6, "routes.hippocampus.run: classify is not a kind of task; there is segment"),
    ("model: hippocampus_mr", "model: hipocampus", 7, "routes.hippocampus.model: hipocampus is not a model of this node; did you mean hippocampus_mr?"),
    ("write: [segmentation]", "write: [segmentatoin]", 8, "routes.hippocampus.write #1: segmentatoin is not an object that we write; did you mean segmentation?"),
    ("write: [segmentation]", "write: [segmentation, segmentation]", 8, "routes.hippocampus.write #2: segmentation is named twice"),
    ("run: segment\n    model: hippocampus_mr\n    write: [segmentation]", "run: classify\n    model: hippocampus_mr\n    write: [segmentation, structured_report]", 8, "routes.hippocampus.write #1: `run: classify` makes no segmentation"),
    ("write: [segmentation]", "write: []", 8, "routes.hippocampus.write: must not be empty"),
    ("to: [pacs]", "to: [pcas]", 9, "routes.hippocampus.to #1: pcas is not a destination; did you mean pacs?"),
    ("to: [pacs]", "to: pacs\n    priority: urgent", 10, "routes.hippocampus.priority: must be 'stat', 'high' or 'routine', not 'urgent'"),
    ("to: [pacs]", "to: pacs\n    with: {sizes: [1, 2]}", 10, "routes.hippocampus.with.sizes: must be one text, number, or true or false"),
    ("to: [pacs]", "to: pacs\n    same: StudyID", 10, "routes.hippocampus.same: needs several `inputs`"),
    # conditions in routes
    ("when: {Modality: MR}", "when: {Modalty: MR}", 5, "routes.hippocampus.when.Modalty: Modalty is neither a DICOM keyword nor a derived fact; did you mean Modality?"),
    ("when: {Modality: MR}", "when: {BodyPart: HEAD}", 5, "routes.hippocampus.when.BodyPart: BodyPart is neither a DICOM keyword nor a derived fact; did you mean BodyPartExamined?"),
    ("when: {Modality: MR}", "when: {slice: 3}", 5, "routes.hippocampus.when.slice: slice is neither a DICOM keyword nor a derived fact; did you mean slices?"),
    ("when: {Modality: MR}", "when: {PatientID: 3}", 5, "routes.hippocampus.when.PatientID: a route cannot look at what identifies people, at sequences, or at long values"),
    ("when: {Modality: MR}", "when: {Modality: }", 5, "routes.hippocampus.when.Modality: is empty"),
    ("when: {Modality: MR}", "when: {Modality: []}", 5, "routes.hippocampus.when.Modality: must not be empty"),
    ("when: {Modality: MR}", "when:", 4, "routes.hippocampus: needs `when` ({} takes every series), or `inputs` if the model takes several"),
    ("when: {Modality: MR}", "when: MR", 5, "routes.hippocampus.when: must hold keys and values"),
    ("when: {Modality: MR}", "when: {slices: {min: 60, max: 3}}", 5, "routes.hippocampus.when.slices: min 60 is larger than max 3"),
    ("when: {Modality: MR}", "when: {slices: {min: many}}", 5, "routes.hippocampus.when.slices.min: must be a number, not many"),
    ("when: {Modality: MR}", "when: {slices: {mn: 3}}", 5, "routes.hippocampus.when.slices.mn: is not known here; did you mean min?"),
    ("when: {Modality: MR}", "when: {slices: {}}", 5, "routes.hippocampus.when.slices: must be exactly one of min/max, contains, matches, one_of, absent, present, not"),
    ("when: {Modality: MR}", "when: {Modality: {contains: M, absent: true}}", 5, "routes.hippocampus.when.Modality: must be exactly one of min/max, contains, matches, one_of, absent, present, not"),
    ("when: {Modality: MR}", "when: {slices: {contains: 3}}", 5, "routes.hippocampus.when.slices.contains: slices is a whole number"),
    ("when: {Modality: MR}", "when: {slices: {max: }}", 5, "routes.hippocampus.when.slices: must not be empty"),
    ("when: {Modality: MR}", "when: {SliceThickness: thin}", 5, "routes.hippocampus.when.SliceThickness: SliceThickness is a number and never thin"),
    ("when: {Modality: MR}", "when: {orientation: AXAIL}", 5, "routes.hippocampus.when.orientation: orientation is never AXAIL; did you mean AXIAL?"),
    ("when: {Modality: MR}", "when: {orientation: {not: [AXIAL, SAGITAL]}}", 5, "routes.hippocampus.when.orientation.not #2: orientation is never SAGITAL; did you mean SAGITTAL?"),
    ("when: {Modality: MR}", "when: {is_original: perhaps}", 5, "routes.hippocampus.when.is_original: is_original is never perhaps; it is TRUE or FALSE"),
    ("when: {Modality: MR}", "when: {is_original: {min: 1}}", 5, "routes.hippocampus.when.is_original.min: is_original is true or false"),
    ("when: {Modality: MR}", "when: {SeriesDescription: {matches: '(T1'}}", 5, "routes.hippocampus.when.SeriesDescription.matches: (T1 is no regular expression: unclosed group"),
    ("when: {Modality: MR}", "when: {SeriesDescription: {matches: 'T1(?!w)'}}", 5, "routes.hippocampus.when.SeriesDescription.matches: T1(?!w) is no regular expression: look-around, including look-ahead and look-behind, is not supported"),
    ("when: {Modality: MR}", f"when: {{SeriesDescription: {{matches: {'x' * 201}}}}}", 5, "routes.hippocampus.when.SeriesDescription.matches: the pattern is longer than 200 characters"),
    # expressions in routes
    ("when: {Modality: MR}", "when: {}\n    if: slices >", 6, "routes.hippocampus.if: the expression is no CEL: mismatched input '<EOF>' at character 9"),
    ("when: {Modality: MR}", "when: {}\n    if: slces > 3", 6, "routes.hippocampus.if: slces is neither a DICOM keyword nor a derived fact; did you mean slices?"),
    ("when: {Modality: MR}", "when: {}\n    if: PatientName == 'x'", 6, "routes.hippocampus.if: PatientName: a route cannot look at what identifies people, at sequences, or at long values"),
    ("when: {Modality: MR}", "when: {}\n    if: Modality.startswith('M')", 6, "routes.hippocampus.if: startswith is not a function; did you mean startsWith?"),
    ("when: {Modality: MR}", "when: {}\n    if: slices", 6, "routes.hippocampus.if: the expression must be true or false"),
    ("when: {Modality: MR}", "when: {}\n    if: SliceThickness * 2 > 5", 6, "routes.hippocampus.if: the expression puts together what does not fit (SliceThickness is a number)"),
    ("when: {Modality: MR}", "when: {}\n    if: \"ImageType == 'ORIGINAL'\"", 6, "routes.hippocampus.if: ImageType is a list; write 'X' in ImageType"),
    ("when: {Modality: MR}", f"when: {{}}\n    if: {'slices > 0 || ' * 80}true", 6, "routes.hippocampus.if: the expression is longer than 1000 characters"),
    ("store: {folder: node}", "store: {folder: node, database: 'postgresql+psycopg://me:SECRET@db/x'}", 2, "store.database: no password belongs into this file; leave it out and write database_password: {file: PATH}, {environment: NAME} or {credential: NAME}"),
    ("store: {folder: node}", "store: {folder: node, database: 'postgresql+psycopg://me:SE/C@RET@db/x'}", 2, "store.database: no password belongs into this file; leave it out and write database_password: {file: PATH}, {environment: NAME} or {credential: NAME}"),
    ("store: {folder: node}", "store: {folder: node, database: 'postgresql+psycopg://me@db/x?password=SECRET'}", 2, "store.database: no password belongs into this file; leave it out and write database_password: {file: PATH}, {environment: NAME} or {credential: NAME}"),
    ("store: {folder: node}", "store: {folder: node, database_password: {environment: DB}}", 2, "store: database_password needs a database of PostgreSQL with a user in it"),
    ("store: {folder: node}", "store: {folder: node, database_password: SECRET}", 2, "store.database_password: no secret belongs into this file; write {file: PATH}, {environment: NAME} or {credential: NAME}"),
    ("destinations:", "watch: {notify: {it: {webhook: 'https://x', secret: SECRET}}}\ndestinations:", 10, "watch.notify.it.secret: no secret belongs into this file; write {file: PATH}, {environment: NAME} or {credential: NAME}"),
    ("destinations:", "watch: {notify: {it: {webhook: 'https://me:SECRET@x', secret: {environment: A}}}}\ndestinations:", 10, "watch.notify.it.webhook: no password belongs into this file"),
    ("destinations:", "watch: {notify: {it: {to: [a@b], sender: c@d, host: x, user: me, password: SECRET}}}\ndestinations:", 10, "watch.notify.it.password: no secret belongs into this file; write {file: PATH}, {environment: NAME} or {credential: NAME}"),
    # several inputs of a route
    ("when: {Modality: MR}", "inputs: {}", 5, "routes.hippocampus.inputs: must name between 1 and 4 inputs, not 0"),
    ("when: {Modality: MR}", "inputs: {a: {Modality: MR}}\n    when: {}", 5, "routes.hippocampus.inputs: stands beside `when`; take one of them"),
    ("when: {Modality: MR}", "inputs: {a: {Modality: MR}}\n    if: slices > 3", 6, "routes.hippocampus.if: belongs to one of the inputs, beside its conditions"),
    ("when: {Modality: MR}", "inputs:\n      a: {Modality: MR}\n      b: {if: slces > 3}", 7, "routes.hippocampus.inputs.b.if: slces is neither a DICOM keyword nor a derived fact; did you mean slices?"),
    ("when: {Modality: MR}", "inputs: {a: {if: true}}", 5, "routes.hippocampus.inputs.a.if: must be a CEL expression"),
    ("when: {Modality: MR}", "inputs: {a: {Modality: MR}, b: {orientation: AXAIL}}", 5, "routes.hippocampus.inputs.b.orientation: orientation is never AXAIL; did you mean AXIAL?"),
    ("when: {Modality: MR}", "inputs: {a: {Modality: MR}, b: {}}\n    same: FrameOfReference", 6, "routes.hippocampus.same: FrameOfReference is neither a DICOM keyword nor a derived fact; did you mean FrameOfReferenceUID?"),
    # destinations
    ("port: 104", "prot: 104", 11, "destinations.pacs.prot: is not known here; did you mean port?"),
    ("port: 104", "", 11, "destinations.pacs.port: is missing"),
    ("{ae_title: PACS, host: pacs.example.org, port: 104}", "{url: 'ftp://x'}", 11, "destinations.pacs.url: must begin with https:// or http:// and name a host"),
    ("{ae_title: PACS, host: pacs.example.org, port: 104}", "{url: 'https://x/studies'}", 11, "destinations.pacs.url: must end before /studies"),
    ("{ae_title: PACS, host: pacs.example.org, port: 104}", "{url: 'https://me:SECRET@x'}", 11, "destinations.pacs.url: no password belongs into this file; use token: {file: PATH}"),
    ("{ae_title: PACS, host: pacs.example.org, port: 104}", "{url: 'https://x', token: SECRET}", 11, "destinations.pacs.token: no secret belongs into this file; write {file: PATH}, {environment: NAME} or {credential: NAME}"),
    ("{ae_title: PACS, host: pacs.example.org, port: 104}", "{url: 'https://x', token: {environment: A, file: b}}", 11, "destinations.pacs.token: must be one of {file: PATH}, {environment: NAME} or {credential: NAME}"),
    ("{ae_title: PACS, host: pacs.example.org, port: 104}", "{url: 'http://x', token: {environment: A}}", 11, "destinations.pacs: a token goes over https:// only"),
    ("{ae_title: PACS, host: pacs.example.org, port: 104}", "{url: 'https://x', token: {SECRET}}", 11, "destinations.pacs.token: must be one of {file: PATH}, {environment: NAME} or {credential: NAME}"),
    ("{ae_title: PACS, host: pacs.example.org, port: 104}", "{url: 'https://x', token: {environment: '$SECRET'}}", 11, "destinations.pacs.token.environment: must be a name; the secret itself does not belong into this file"),
    ("{ae_title: PACS, host: pacs.example.org, port: 104}", "{url: 'https://x', token: {credential: ../SECRET}}", 11, "destinations.pacs.token.credential: must be a name; the secret itself does not belong into this file"),
    ("{ae_title: PACS, host: pacs.example.org, port: 104}", "{folder: x, prot: 1}", 11, "destinations.pacs.prot: is not known here"),
    ("port: 104", "port: 104, proof: promise", 11, "destinations.pacs.proof: must be 'none', 'commitment' or 'query', not 'promise'"),
    ("{ae_title: PACS, host: pacs.example.org, port: 104}", "{url: 'https://x', proof: commitment}", 11, "destinations.pacs.proof: must be 'none' or 'query', not 'commitment'"),
    ("{ae_title: PACS, host: pacs.example.org, port: 104}", "{folder: x, proof: query}", 11, "destinations.pacs.proof: is not known here"),
    ("  pacs: {ae", "  pacs: 3\n  9: {ae", 11, "destinations.pacs: must hold keys and values"),
    ("to: [pacs]", "to: [pacs]\n    guard: maybe", 10, "routes.hippocampus.guard: must be 'warn', 'purify', 'refuse' or 'off', not 'maybe'"),
    ("write: [segmentation]", "write: [segmentation]\n    report_declined: true", 9, "routes.hippocampus.report_declined: needs structured_report in `write`"),
    ("write: [segmentation]", "write: [segmentation]\n    compare_earlier: true", 9, "routes.hippocampus.compare_earlier: needs structured_report in `write`"),
    # what looks alike, and the window
    ("destinations:", "similar: {model: hippocampus}\ndestinations:", 10, "similar.model: hippocampus is not a model of this node; did you mean hippocampus_mr?"),
    ("destinations:", "similar: {model: hippocampus_mr, to: [pax]}\ndestinations:", 10, "similar.to #1: pax is not a destination; there is pacs"),
    ("write: [segmentation]", "write: [key_objects]", 8, "routes.hippocampus.write #1: only `run: retrieve` makes key_objects"),
    ("routes:\n  - name: hippocampus", "similar: {model: hippocampus_mr}\nroutes:\n  - name: similar", 5, "routes.similar.name: is what the section `similar` calls its own jobs"),
    ("destinations:", "serve: {host: 0.0.0.0, login: none}\ndestinations:", 10, "serve: login: none is for loopback only, and 0.0.0.0 is not"),
    ("destinations:", "serve: {login: none, behind_proxy: [127.0.0.1]}\ndestinations:", 10, "serve: login: none and behind_proxy would let everybody in that the proxy does"),
    ("destinations:", "serve: {token: SECRET}\ndestinations:", 10, "serve.token: no secret belongs into this file; write {file: PATH}, {environment: NAME} or {credential: NAME}"),
    ("destinations:", "serve: {names: ['node:8042']}\ndestinations:", 10, "serve.names #1: node:8042 is no name of a host such as node.example.org, without a port"),
    ("destinations:", "serve: {behind_proxy: [proxy]}\ndestinations:", 10, "serve.behind_proxy #1: proxy is not an IP address or a network such as 10.1.2.0/24"),
    ("destinations:", "serve: {oidc: {issuer: 'http://id', audience: a, jwks_file: x}}\ndestinations:", 10, "serve.oidc.issuer: must begin with https:// and name a host"),
    ("destinations:", "serve: {oidc: {issuer: 'https://id', audience: a}}\ndestinations:", 10, "serve.oidc: needs either jwks_url or jwks_file"),
    ("destinations:", "serve: {oidc: {issuer: 'https://id', audience: a, jwks_file: x, roles: {it: god}}}\ndestinations:", 10, "serve.oidc.roles.it: must be 'viewer', 'sender', 'operator' or 'admin', not 'god'"),
    ("destinations:", "serve: {host: 0.0.0.0, token: {file: x}}\ndestinations:", 10, "serve: passwords and patients go over https:// only: give tls, or behind_proxy with the address of a proxy that has it, or listen on 127.0.0.1"),
    # YAML
    ("to: [pacs]", "to: [pacs", 10, "YAML: while parsing a flow sequence expected ',' or ']', but got ':' (begun in line 9)"),
    ("to: [pacs]", "to: !!python/name:os.system [pacs]", 9, "routes.hippocampus.to: tags that begin with ! have no meaning here"),
    ("to: [pacs]", "to: !secret pacs", 9, "routes.hippocampus.to: tags that begin with ! have no meaning here"),
    ("to: [pacs]", "to: !!int pacs", 9, "routes.hippocampus.to: is not what tag:yaml.org,2002:int says"),
    ("to: [pacs]", "to: !!bool pacs", 9, "routes.hippocampus.to: is not what tag:yaml.org,2002:bool says"),
    ("to: [pacs]", "to: &a [*a]", 9, "routes.hippocampus.to #1: an alias must not contain itself"),
    ("to: [pacs]", "to: [pacs]\n    to: [pacs]", 10, "routes.hippocampus.to: is here already, in line 9"),
    ("to: [pacs]", "to: [pacs]\n    [a]: b", 10, "routes.hippocampus: a key must be a word"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("old", "new", "line", "said"),
    [pytest.param(*row, id=f"{row[1][:60]!r}") for row in OLD_TO_NEW],
)
def test_a_mistake_is_named_with_its_line(
    tmp_path: Path, old: str, new: str, line: int, said: str
) -> None:
    """One mistake, one line, and the node does not start."""
    assert SMALLEST.count(old) >= 1
    found = mistakes(tmp_path, SMALLEST.replace(old, new, 1))
    assert f"ae_config.yaml:{line}: {said}" in found
    assert "SECRET" not in "".join(found)


@pytest.mark.parametrize(
    "expression",
    [
        "slices >= 60 && Modality == 'CT'",
        "SliceThickness * 2.0 > 5.0 || 10 / (slices - 1) > 2",
        "PixelSpacing[1] < 1.0",
        "'DERIVED' in ImageType || ImageType.exists(value, value.startsWith('MPR'))",
        "SeriesDescription.matches('(?i).*t1.*') && size(ScanOptions) > 0",
        "int(AcquisitionTime) < 120000",
        "is_original && !is_localizer",
    ],
)
def test_good_expressions_pass(tmp_path: Path, expression: str) -> None:
    """Also those that depend on what the header says."""
    content = SMALLEST.replace(
        "when: {Modality: MR}", f"when: {{}}\n    if: {json.dumps(expression)}"
    )
    assert read(tmp_path, content).routes[0].if_ == expression


def test_every_mistake_is_told_at_once(tmp_path: Path) -> None:
    """Nobody mends a file one error at a time."""
    content = dedent("""\
        receive: {ae_title: AI_NODE, prot: 104, accept_from: []}
        store: {folder: node, keep_days: soon}
        routes:
          - name: twice
            when: {Modalty: MR, slices: {min: 9, max: 3}, orientation: AXAIL}
            if: slces > 3
            run: segmnt
            model: nothing_known
            write: [segmentation, nothing]
            to: [pacs]
          - name: twice
            to: [nowhere]
        destinations: {}
        """)
    found = [
        one.removeprefix("ae_config.yaml:").split(": ")[:2] for one in mistakes(tmp_path, content)
    ]
    assert found == [
        ["1", "receive.accept_from"],
        ["1", "receive.prot"],
        ["2", "store.keep_days"],
        ["4", "routes.twice.name"],
        ["5", "routes.twice.when.Modalty"],
        ["5", "routes.twice.when.orientation"],
        ["5", "routes.twice.when.slices"],
        ["6", "routes.twice.if"],
        ["7", "routes.twice.run"],
        ["8", "routes.twice.model"],
        ["9", "routes.twice.write #2"],
        ["10", "routes.twice.to #1"],
        ["11", "routes.twice"],
        ["11", "routes.twice.model"],
        ["11", "routes.twice.name"],
        ["11", "routes.twice.run"],
        ["11", "routes.twice.write"],
        ["12", "routes.twice.to #1"],
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("content", "said"),
    [
        pytest.param("", "1: YAML: must hold sections", id="an empty file"),
        pytest.param("- a\n- b", "1: YAML: must hold sections", id="a list"),
        pytest.param("a: b: c", "1: YAML: mapping values are not allowed here", id="two colons"),
        pytest.param("a: 1\n\tb: 2", "2: YAML: ", id="a tab"),
        pytest.param("a: \x00", "1: YAML: there is a character", id="a NUL"),
        pytest.param(b"a: 1\nb: \xff", "2: the file must be UTF-8", id="not UTF-8"),
        pytest.param("a: 1\n---\nb: 2", "2: YAML: ", id="two documents"),
        pytest.param(
            "# " + "x" * 1_000_000, " the file is larger than 1000000 bytes", id="a huge file"
        ),
        pytest.param("{}", "1: receive: is missing", id="nothing in it"),
    ],
)
def test_a_file_that_is_no_configuration(tmp_path: Path, content: str | bytes, said: str) -> None:
    """It is said in a sentence, without a traceback."""
    assert mistakes(tmp_path, content)[0].startswith(f"ae_config.yaml:{said}")


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    """The full path is told, since that is probably what is wrong."""
    with pytest.raises(ConfigError, match=r"nowhere\.yaml: the file cannot be read"):
        load(tmp_path / "nowhere.yaml", models=(), outputs=(), kinds=())


def test_no_secret_is_repeated(tmp_path: Path) -> None:
    """Messages end in logs and tickets."""
    content = SMALLEST.replace(
        "{ae_title: PACS, host: pacs.example.org, port: 104}",
        "{url: 'https://me:SECRET@x/studies', token: SECRET, tokn: SECRET, password: SECRET}",
    )
    assert "SECRET" not in "\n".join(mistakes(tmp_path, content))


def test_paths_begin_at_the_folder_of_the_file(tmp_path: Path) -> None:
    """Not at wherever the service was started."""
    content = SMALLEST.replace(
        "store: {folder: node}", "store: {folder: ./a/b}\ninfer: {models: [m, /n]}"
    )
    config = read(tmp_path, content)
    assert config.store.folder == tmp_path / "a" / "b"
    assert config.infer.models == (tmp_path / "m", Path("/n"))
    assert model_folders(tmp_path / "ae_config.yaml") == config.infer.models


@pytest.mark.parametrize("content", ["", "infer: 3", "infer: {models: x}", "infer: {models: [3]}", "a: [b"])  # fmt: skip
def test_model_folders_of_a_wrong_file_are_none(tmp_path: Path, content: str) -> None:
    """The models are listed before the file is checked; then `load` tells what is wrong."""
    path = tmp_path / "ae_config.yaml"
    path.write_text(content)
    assert model_folders(path) == ()


def test_times_differ_by_modality(tmp_path: Path) -> None:
    """What a modality does not say is as for all."""
    content = (
        f"complete: {{quiet_seconds: 40, modality: {{US: {{quiet_seconds: 90}}}}}}\n{SMALLEST}"
    )
    complete = read(tmp_path, content).complete
    assert complete.times("US") == (90.0, 5.0, 300.0)
    assert complete.times("CT") == (40.0, 5.0, 300.0)
    assert complete.times() == (40.0, 5.0, 300.0)


def test_the_schema_describes_every_key() -> None:
    """Editors complete and the reference is made from it."""
    schema = NodeConfig.json_schema()
    assert list(schema["properties"]) == [
        "receive", "store", "complete", "infer", "routes", "similar", "encode", "destinations",
        "serve", "watch", "audit",
    ]  # fmt: skip
    route = schema["$defs"]["RouteEntry"]
    assert {"when", "if", "inputs", "with"} <= route["properties"].keys()
    assert route["additionalProperties"] is False


YAML = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-9, 99999), st.text("abMR: {}[]#'\"\\", max_size=8)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.sampled_from([
            "name", "when", "if", "inputs", "Modality", "slices", "min", "not", "contains",
            "matches", "write", "to", "token", "url", "folder", "ae_title", "x",
        ]), inner, max_size=4),
    ),
    max_leaves=12,
)  # fmt: skip


@settings(
    max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None
)
@given(section=st.sampled_from(["receive", "store", "complete", "infer", "routes", "similar", "encode", "destinations", "serve", "watch"]), content=YAML)  # fmt: skip
def test_whatever_stands_in_the_file_the_answer_is_a_sentence(
    tmp_path: Path, section: str, content: object
) -> None:
    """JSON is YAML, so any JSON can stand there; nothing but `ConfigError` comes out."""
    lines = mistakes(tmp_path, json.dumps({section: content, "y": 1}))
    assert all(line.startswith("ae_config.yaml:1: ") for line in lines)


@pytest.mark.parametrize("line", range(11))
def test_a_file_without_one_of_its_lines_is_wrong_or_right_but_never_a_traceback(
    tmp_path: Path, line: int
) -> None:
    """An operator deletes a line."""
    lines = SMALLEST.splitlines()
    del lines[line]
    assert all(one.startswith("ae_config.yaml:") for one in mistakes(tmp_path, "\n".join(lines)))
