"""The VS Code extension's manifest: what it promises the user, the server and the law.

Read as data; node is not needed. What the extension does is seen in tests/e2e.
"""

import json
import re
from pathlib import Path
from typing import Any

import pytest

REPO = Path(__file__).resolve().parent.parent
HOME = REPO / "editors" / "vscode"
MANIFEST: dict[str, Any] = json.loads((HOME / "package.json").read_text())
LOCK: dict[str, Any] = json.loads((HOME / "package-lock.json").read_text())
SETTINGS: dict[str, Any] = {
    name.removeprefix("dlmd."): setting
    for group in MANIFEST["contributes"]["configuration"]
    for name, setting in group["properties"].items()
}
OURS = {"command", "installFrom", "heatMap", "trace.server"}
# The words of the page for what only the daemon knows.
UNSET = {"the daemon's", "this machine", "its own"}
PERMISSIVE = {
    *("MIT", "ISC", "BSD-2-Clause", "BSD-3-Clause", "Apache-2.0", "BlueOak-1.0.0"),
    *("0BSD", "Python-2.0", "CC0-1.0", "MIT-0", "Unlicense"),
}


def server_settings() -> dict[str, object]:
    """The table of docs/editors.md: what the language server takes, and its defaults."""
    page = (REPO / "docs" / "editors.md").read_text()
    table = page[page.index("`initializationOptions`, and the section") :]
    rows = re.findall(r"^\| `(\w+)` \| (.*?) \| ", table, re.M)
    return {name: None if d in UNSET else json.loads(d.strip("`")) for name, d in rows}


def test_every_setting_of_the_server_is_here_with_its_default_and_no_other() -> None:
    here = {name: s["default"] for name, s in SETTINGS.items() if name not in OURS}
    assert here == server_settings()


@pytest.mark.parametrize("name", SETTINGS)
def test_a_setting_says_what_it_is_and_where_it_may_be_set(name: str) -> None:
    setting = SETTINGS[name]
    assert len(setting["markdownDescription"]) > 15
    assert setting["scope"] in {"machine", "window", "resource"}
    if "enum" in setting:
        assert len(setting.get("enumDescriptions", setting["enum"])) == len(
            setting["enum"]
        )


def test_what_runs_programs_is_never_read_from_a_workspace() -> None:
    runs = {"command", "installFrom", "startDaemon", "connect", "daemonCommand"}
    assert {n for n, s in SETTINGS.items() if s["scope"] == "machine"} == runs
    trust = MANIFEST["capabilities"]["untrustedWorkspaces"]
    assert trust["supported"] == "limited"
    assert set(trust["restrictedConfigurations"]) == {f"dlmd.{name}" for name in runs}
    assert MANIFEST["extensionKind"] == ["workspace"]


def test_no_key_of_ours_acts_while_a_menu_is_open_and_tab_is_not_ours() -> None:
    for binding in MANIFEST["contributes"]["keybindings"]:
        assert "tab" not in binding["key"].lower().split("+")
        assert "editorTextFocus" in binding["when"]
        if binding["key"] not in ("alt+shift+\\", "ctrl+enter"):
            assert "!suggestWidgetVisible" in binding["when"]


def test_every_command_is_registered_and_every_use_names_one() -> None:
    contributes = MANIFEST["contributes"]
    commands = {each["command"] for each in contributes["commands"]}
    source = "".join(path.read_text() for path in (HOME / "src").glob("*.ts"))
    registered = set(re.findall(r'^    "(dlmd\.\w+)": ', source, re.M))
    assert registered - commands == {"dlmd.settings"} and commands <= registered
    used = {each["command"] for each in contributes["keybindings"]}
    used |= {each["command"] for each in contributes["menus"]["dlmd.editor"]}
    text = json.dumps(contributes["walkthroughs"])
    used |= set(re.findall(r"command:(dlmd\.\w+)", text))
    assert used <= commands
    for step in contributes["walkthroughs"][0]["steps"]:
        assert (HOME / step["media"]["markdown"]).is_file()


def test_the_page_of_the_extension_names_its_keys_and_commands() -> None:
    page = (HOME / "README.md").read_text()
    titles = [each["title"] for each in MANIFEST["contributes"]["commands"]]
    named = re.findall(r"\*dlmd: ([^*]+)\*", page)
    assert named
    for name in named:
        assert any(title.startswith(name) for title in titles), name


def packages() -> dict[str, dict[str, Any]]:
    return {name: each for name, each in LOCK["packages"].items() if name}


def test_the_lock_file_names_no_registry_but_the_public_one() -> None:
    for name, each in packages().items():
        assert each.get("resolved", "https://registry.npmjs.org/").startswith(
            "https://registry.npmjs.org/"
        ), name
        assert each["integrity"].startswith("sha512-"), name


def test_every_package_of_the_lock_file_has_a_permissive_licence() -> None:
    licences = {name: each.get("license", "none") for name, each in packages().items()}
    words = {name: set(re.split(r" OR |[()]", text)) for name, text in licences.items()}
    assert {n: licences[n] for n, w in words.items() if not w & PERMISSIVE} == {}


def test_the_client_speaks_inline_completion_and_the_types_fit_the_oldest_editor() -> (
    None
):
    pinned = MANIFEST["devDependencies"]
    assert int(pinned["vscode-languageclient"].split(".")[0]) >= 10
    assert MANIFEST["engines"]["vscode"] == f"^{pinned['@types/vscode']}"
    locked = LOCK["packages"]
    for name, version in pinned.items():
        assert locked[f"node_modules/{name}"]["version"] == version


def test_nothing_in_it_measures_its_user() -> None:
    names = " ".join(packages()).lower()
    bundled = (HOME / "package.json").read_text().lower()
    assert "no telemetry" in bundled and "telemetryreporter" not in names
    source = "".join(path.read_text() for path in (HOME / "src").glob("*.ts"))
    assert not re.search(r"\bfetch\(|node:https?|node:net|XMLHttp|WebSocket", source)
