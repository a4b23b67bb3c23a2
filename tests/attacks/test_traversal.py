"""Names of models and adapters that are paths, to make the daemon read files elsewhere."""

import re
from pathlib import Path

import pytest
from dlmd.store import adapters, shelf
from dlmd.wire import complaints as bounds
from dlmd.wire.protocol import (
    Infill,
    Limits,
    ProtocolError,
    UseAdapter,
    decode_client,
    encode,
    hole,
)

from tests.fakes.desk import Desk
from tests.fakes.inside import serving

NAMES = [
    "../evil",
    "/etc/passwd",
    "..",
    ".",
    "a/../../evil",
    "evil\0",
    "..\\evil",
    "%2e%2e",
]
ANYTHING = re.compile(r".*", re.DOTALL)


@pytest.fixture
def stranger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that looks like an adapter, beside the one adapters lie in."""
    monkeypatch.setenv("DLMD_ADAPTERS", str(tmp_path / "adapters"))
    (tmp_path / "adapters").mkdir()
    evil = tmp_path / "evil"
    evil.mkdir()
    for file in (adapters.CONFIG, adapters.WEIGHTS, adapters.NOTE):
        (evil / file).write_text("{}")
    return evil


@pytest.mark.parametrize("name", NAMES)
def test_no_path_is_the_name_of_an_adapter(stranger: Path, name: str) -> None:
    for message in (
        Infill(id="a", parts=[hole()], adapter=name),
        UseAdapter(id="a", adapter=name),
    ):
        with pytest.raises(ProtocolError, match="adapter was"):
            decode_client(encode(message))
    with pytest.raises(ValueError, match="name"):
        adapters.find(name)


def test_a_link_in_the_folder_is_no_adapter(stranger: Path) -> None:
    (adapters.adapters_dir() / "linked").symlink_to(stranger)
    with pytest.raises(ValueError, match="there is no adapter linked"):
        adapters.find("linked")


def test_without_the_rule_a_path_leads_out(
    stranger: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bounds, "ADAPTER_NAME", ANYTHING)
    asked = decode_client(encode(UseAdapter(id="a", adapter="../evil")), Limits())
    assert isinstance(asked, UseAdapter) and asked.adapter == "../evil"
    with pytest.raises(ValueError, match="name"):  # the store does not rely on the wire
        adapters.find("../evil")
    monkeypatch.setattr(adapters, "NAME", ANYTHING)
    assert adapters.find("../evil").resolve() == stranger.resolve()


@pytest.mark.parametrize("name", NAMES)
def test_no_path_is_the_name_of_a_model(name: str) -> None:
    with pytest.raises(ValueError, match="unknown model"):
        shelf.profile(name)
    desk = Desk()
    desk.engine.load()
    desk.ask("a", model=name)
    desk.work()
    assert desk.code("a") == "bad_request"


async def test_a_model_in_a_url_or_a_body_is_only_compared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DLMD_RUNTIME_DIR", str(tmp_path / "run"))
    async with serving(tmp_path / "run") as inside:
        for name in ("../../etc/passwd", "..%2f..%2fetc%2fpasswd", "%00", "a" * 4000):
            told = await inside.ask("GET", f"/v1/models/{name}")
            assert told.status == 404 and b"root:" not in told.body
        for name in NAMES:
            body = {"prompt": "", "model": name, "adapter": name}
            told = await inside.ask("POST", "/v1/completions", body)
            assert told.json["model"] == "fake"


def test_a_record_cannot_name_files_elsewhere() -> None:
    for name in ("../x", "/x", "a/b", "", "..", ".hidden"):
        assert not shelf.is_file_name(name)
