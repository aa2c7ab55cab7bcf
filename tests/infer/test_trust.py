"""What can run code runs only if somebody vouches for it, and exactly for this state of it."""

import shutil
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from dicom_ai_node.domain.errors import ConfigError, ModelUnusable
from dicom_ai_node.infer.catalog import Catalog
from dicom_ai_node.infer.networks import network
from dicom_ai_node.infer.sealed import SealedFolder, seal
from dicom_ai_node.infer.trust import Trust, make_key, sign, trusting
from tests import foreign
from tests.foreign_folders import adopted, ask, threshold_file
from tests.model_folders import threshold_model

MODEL = "bright_script"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a model folder that can run code."""
    path = threshold_file("torchscript", tmp_path_factory.mktemp("from"))
    return adopted(path, tmp_path_factory.mktemp("models"), MODEL).folder


@pytest.fixture
def folder(made: Path, tmp_path: Path) -> Path:
    """Return a copy of it, to be harmed."""
    return Path(shutil.copytree(made, tmp_path / "models" / MODEL))


def _network(folder: Path, trust: Trust | None) -> object:
    return network(Catalog([folder.parent]).facts(folder.name), "cpu", trust)


def test_code_that_nobody_vouches_for_is_not_loaded(folder: Path) -> None:
    """The sentence tells exactly what to write to allow it."""
    digest = SealedFolder(folder).digest
    with pytest.raises(ModelUnusable, match="can run code") as refused:
        _network(folder, None)
    assert f"infer: {{trust: [{digest}]}}" in str(refused.value)
    assert "infer.trust_keys" in str(refused.value)
    assert _network(folder, trusting([digest], []))


def test_a_digest_vouches_for_one_state_of_a_model(folder: Path) -> None:
    """Other code in the same folder is another model."""
    trust = trusting([SealedFolder(folder).digest], [])
    foreign.torchscript(foreign.chance(), folder / "models/model.ts")
    with pytest.raises(ModelUnusable, match="has changed"):
        _network(folder, trust)
    seal(folder)
    with pytest.raises(ModelUnusable, match="nobody vouches for it"):
        _network(folder, trust)


def test_what_runs_no_code_needs_nobody(tmp_path: Path) -> None:
    """Signed or not."""
    folder = threshold_model(tmp_path)
    assert Trust().of(SealedFolder(folder), "bundle") == "runs no code"


def test_a_signature_vouches_for_whatever_its_key_has_signed(folder: Path, tmp_path: Path) -> None:
    """Signing changes neither the model nor its digest; the network then computes."""
    key = tmp_path / "me"
    public = make_key(key)
    trust, before = trusting([], [public]), SealedFolder(folder).digest
    with pytest.raises(ModelUnusable, match="nobody vouches for it"):
        _network(folder, trust)
    sign(folder, key)
    assert SealedFolder(folder).digest == before
    Catalog([folder.parent]).verify(MODEL)
    loaded = network(Catalog([folder.parent]).facts(MODEL), "cpu", trust)
    given = foreign.example()
    assert bool((ask(loaded, given) == ask(foreign.threshold(), given)).all())


@pytest.mark.parametrize("harm", ["another key", "another signature", "another content"])
def test_a_signature_that_does_not_fit_vouches_for_nothing(
    folder: Path, tmp_path: Path, harm: str
) -> None:
    """Whatever was exchanged."""
    key = tmp_path / "me"
    public = make_key(key)
    signature = sign(folder, key)
    match harm:
        case "another key":
            public = make_key(tmp_path / "other")
        case "another signature":
            signature.write_bytes(signature.read_bytes()[:-1] + b"?")
        case _:
            (folder / "configs/more.json").write_text("{}")
            seal(folder)
    with pytest.raises(ModelUnusable, match="nobody vouches for it"):
        _network(folder, trusting([], [public]))


def test_nobody_signs_what_is_not_as_listed(folder: Path, tmp_path: Path) -> None:
    """A signature says that somebody has looked at these files."""
    make_key(tmp_path / "me")
    (folder / "models/model.ts").write_bytes(b"something else")
    with pytest.raises(ModelUnusable, match="has changed"):
        sign(folder, tmp_path / "me")
    assert not (folder / "SHA256SUMS.sig").exists()


def test_a_private_key_is_for_its_owner_alone(folder: Path, tmp_path: Path) -> None:
    """It is made so, and not used when others may read it."""
    key = tmp_path / "me"
    public = make_key(key)
    assert key.stat().st_mode & 0o777 == 0o600
    key.chmod(0o640)
    with pytest.raises(ConfigError, match="may be read by others: chmod 600"):
        sign(folder, key)
    public.chmod(0o666)
    with pytest.raises(ConfigError, match="may be changed by others"):
        trusting([], [public])
    with pytest.raises(ConfigError, match="cannot be made: File exists"):
        make_key(key)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        pytest.param(None, "cannot be read", id="none"),
        pytest.param(b"secret", "is no public key in PEM", id="no key"),
        pytest.param(
            ec.generate_private_key(ec.SECP256R1())
            .public_key()
            .public_bytes(
                serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
            ),
            "not one of Ed25519",
            id="a key of another kind",
        ),
    ],
)
def test_a_key_that_is_none_is_a_mistake_in_the_configuration(
    tmp_path: Path, content: bytes | None, message: str
) -> None:
    """And not silently nobody's signature."""
    path = tmp_path / "key.pub"
    if content is not None:
        path.write_bytes(content)
        path.chmod(0o644)
    with pytest.raises(ConfigError, match=message):
        trusting([], [path])
