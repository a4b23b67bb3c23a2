"""Names of models and adapters that are paths, to make the daemon read files elsewhere."""

import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import pytest_asyncio
from dlmd.serve import which
from dlmd.serve.backend import ModelBackend
from dlmd.settings import Settings
from dlmd.store import adapters, shelf
from dlmd.wire import complaints as bounds
from dlmd.wire.protocol import (
    Failure,
    Infill,
    Limits,
    ProtocolError,
    Result,
    UseAdapter,
    decode_client,
    encode,
    hole,
)

from tests.fakes.adapter import saved_adapter
from tests.fakes.desk import Desk
from tests.fakes.inside import Inside, serving
from tests.fakes.tiny import tiny_model_folder

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


# ---- the same on a daemon with weights, over its socket

OUT = "../elsewhere/evil"
RULES = ("the wire's", "the store's")


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A daemon on a small model; an adapter and a model lie where it must not look."""

    inside: Inside
    stolen: Path

    async def text(self, **fields: object) -> str:
        end = await self.end("infill", **fields)
        assert isinstance(end, Result), end
        return end.candidates[0].holes[0]

    async def end(self, type: str, **fields: object) -> Result | Failure:
        asked = {"parts": ["def f(x):", {"hole": {"length": 12}}]}
        return await self.inside.streamed({"type": type} | asked | fields)


@pytest_asyncio.fixture
async def target(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Target]:
    base = tiny_model_folder(tmp_path / "tiny")
    made = saved_adapter(base, tmp_path / "made", size=1.0)
    monkeypatch.setenv("DLMD_ADAPTERS", str(tmp_path / "elsewhere"))
    adapters.install(made, "evil", base=base, base_model="tiny")
    monkeypatch.setenv("DLMD_ADAPTERS", str(tmp_path / "adapters"))
    monkeypatch.setenv("DLMD_RUNTIME_DIR", str(tmp_path / "run"))
    (tmp_path / "adapters").mkdir()
    stolen = tiny_model_folder(tmp_path / "stolen", seed=5)
    chosen = Settings(model=str(base), device="cpu", dtype="float32", first_state_ms=0)
    backend = ModelBackend(chosen)
    async with serving(tmp_path / "run", real=backend) as inside:
        yield Target(inside=inside, stolen=stolen)


def without(patch: pytest.MonkeyPatch, rules: tuple[str, ...]) -> None:
    if "the wire's" in rules:
        patch.setattr(bounds, "ADAPTER_NAME", ANYTHING)
        patch.setattr(bounds, "MODEL_NAME", ANYTHING)
    if "the store's" in rules:
        patch.setattr(adapters, "NAME", ANYTHING)
        patch.setattr(which, "named", which.configured)


@pytest.mark.slow
@pytest.mark.parametrize("gone", [(), *((rule,) for rule in RULES)], ids=str)
async def test_a_daemon_takes_no_weights_by_a_path(
    target: Target, monkeypatch: pytest.MonkeyPatch, gone: tuple[str, ...]
) -> None:
    before = await target.text()
    without(monkeypatch, gone)
    for end in (
        await target.end("infill", adapter=OUT),
        await target.end("use_adapter", adapter=OUT),
        await target.end("use_model", model=str(target.stolen)),
    ):
        assert isinstance(end, Failure) and end.code == "bad_request", end
    assert await target.text() == before


@pytest.mark.slow
async def test_without_the_rules_it_serves_what_lies_elsewhere(
    target: Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = await target.text()
    without(monkeypatch, RULES)
    by_request = await target.text(adapter=OUT)
    assert by_request != before
    assert isinstance(await target.end("use_adapter", adapter=OUT), Result)
    assert await target.text() == by_request
    end = await target.end("use_model", model=str(target.stolen))
    assert isinstance(end, Result), end
    assert target.inside.daemon.engine.status.model == str(target.stolen)
