"""Forty names and forty contents that never leave the language server, seen at the socket."""

import asyncio
import importlib
import inspect
from pathlib import Path

import pytest
from dlmd_lsp.ask.gate import told
from dlmd_lsp.ask.secrets import first_secret, is_secret_path, secrets_in
from dlmd_lsp.document import Document
from hypothesis import given
from hypothesis import strategies as st
from lsprotocol import types

from tests.fakes.recorder import Recorder, recording
from tests.lsp_rig import Editor, editing

LIST = """
.env .env.local .env.production prod.env .envrc .netrc .pgpass .npmrc .pypirc .htpasswd
.git-credentials .dockercfg .s3cfg .boto .vault-token .bash_history server.pem private.key
store.p12 cert.pfx app.p8 debug.jks release.keystore passwords.kdbx login.ppk mail.asc
backup.gpg prod.tfvars terraform.tfstate id_rsa id_ed25519 id_ecdsa.pub credentials
credentials.json client_secret_1.json service-account.json secrets.yaml secrets.toml
.ssh/config .aws/config .kube/config vault.yml master.key kubeconfig
"""
NAMES = LIST.split()
A = "abcdefghijklmnopqrstuvwxyz"
D = "0123456789"
# In two halves, so that no scanner takes this file for a leak.
CONTENTS = [
    "-----BEGIN " + "RSA PRIVATE KEY-----",
    "-----BEGIN " + "OPENSSH PRIVATE KEY-----",
    "-----BEGIN PGP " + "PRIVATE KEY BLOCK-----",
    "PuTTY-User-Key-" + "File-3: ssh-ed25519",
    "AGE-SECRET-" + "KEY-1" + "QPZRY9X8GF2TVDW0S3JN54KHCE",
    "key = 'AKIA" + "IOSFODNN7EXAMPLE'",
    "aws_secret_access_key = wJalrXUtnFEMI/K7MDENG/" + "bPxRfiCYEXAMPLEKEY",
    "token = 'ghp_" + A + D + "'",
    "url = 'gho_" + A + D + "'",
    "x('github_pat_" + A + D + "')",
    "x('glpat-" + A[:20] + "')",
    "x('xoxb-" + D + "-" + D + "-" + A[:24] + "')",
    "post('https://hooks.slack.com/services/T0" + "AAAA/B0BBBB/" + A[:24] + "')",
    "post('https://discord.com/api/" + "webhooks/1234567890/" + A + "')",
    "x('sk-" + "proj-" + A + D + "')",
    "x('sk-ant-" + "api03-" + A + "')",
    "x('sk_live_" + A[:24] + "')",
    "x('AIza" + "SyA1234567890abcdefghijklmnopqrstuv')",
    "x('ya29." + A + D + "')",
    "x('hf_" + A + "ABCDEFGH')",
    "//registry.npmjs.org/:_authToken=npm_" + A + D,
    "x('pypi-" + "AgEIcHlwaS5vcmc" + A + "')",
    "x('SG." + A[:22] + "." + A + D + "')",
    "x('AC" + "0123456789abcdef0123456789abcdef')",
    "x('shpat_" + "0123456789abcdef0123456789abcdef')",
    "x('dop_v1_" + "0123456789abcdef" * 4 + "')",
    "x('hvs." + A + "')",
    "x('eyJhbGciOiJIUzI1NiJ9" + ".eyJzdWIiOiIxMjM0NSJ9." + A + "')",
    "bot = '123456789:AA" + A + "HHHHHHHH'",
    "DefaultEndpointsProtocol=https;AccountName=a;Account" + "Key=" + A + D + "==",
    "url = 'postgres://admin:" + "s3cretpw@db.example.com/main'",
    "redis = 'redis://:" + "pa55word9@cache:6379'",
    "headers = {'Authorization': 'Bearer " + A + D + "'}",
    "password = '" + "hunter2hunter2'",
    '"password": "' + 'Tr0ub4dor&3",',
    "API_KEY=" + "9f86d081884c7d659a2feaa0c55ad015",
    "export SECRET_TOKEN=" + "f1d2d2f924e986ac86fdf7b36c94bcdf",
    "client_secret: '" + "8xLOxBtZp8QabcdefGH'",
    'DB_PASSWORD = "' + 'p4ssw0rd-of-2024"',
    "private_key_passphrase = '" + "correct9horse'",
    "MIIEpAIBAAKCAQEA7bq2lyVvVqYc" + "kQm9s0Jp3x8wEXAMPLEONLYnotAkey12",
    "SECRET_KEY = 'django-insecure-" + "4f8z$k2+w9'",
    "tls.key: LS0tLS1CRUdJTi" + "BSU0EgUFJJVkFURSBLRVktLS0tLQo=",
    "connect('user', **{'password', '" + "x9y8z7w6v5'})",
    "passwd: str = '" + "hunter2hunter2'",
    "ssh-pass => '" + "a1b2c3d4e5'",
]


@pytest.mark.parametrize("name", NAMES)
def test_names_are_known(name: str) -> None:
    assert is_secret_path(f"/some/project/{name}")


@pytest.mark.parametrize("content", CONTENTS)
def test_contents_are_known(content: str) -> None:
    assert secrets_in(f"a = 1\n{content}\nb = 2\n") == 1


@pytest.mark.parametrize(
    "line",
    [
        "password = getpass()",
        "def check(password: str, token: str | None = None) -> bool:",
        "token = request.headers['X-Token']",
        "secret = os.environ['SECRET']",
        "tokens = tokenizer.encode('hello world')",
        "url = 'https://example.com/a/very/long/path/to/some/page.html'",
        "key = sorted(items, key=lambda item: item.password)",
        "# the password is read from the keyring, never written here",
        "from dlmd_lsp.ask.secrets import secrets_in",
        "test_a_document_that_holds_no_secret_is_not_taken_for_one_that_does = 1",
        "assert digest == compute_a_long_named_digest_of_something(value)",
        "'a4337bc45a8fc544c03f52dc550cd6e1e87021bc896588bd79e901e2'",
        "169148395880755256182802335904188369274227936894862744452,",
        '"DataSourceResponsesInputMessagesTemplateTemplateChatMessage",',
        "////////////////////////////////////////////////////////////",
        "'TTAGCGGATCCTACCTGACGCTTTTTATCGCAACTCTCTACTGTTTCTCCATAACAGAACATATTGA'",
        'PEM_HEADER = "-----BEGIN CERTIFICATE-----"',
        "e.g. `user` in `https://user:pass@host:port/path?query#fragment`",
        "'github://org:repo@sha/precip/catalog.yml', where the sha is also included",
        'help="a proxy in the form scheme://[user:passwd@]proxy.server:port.",',
        "__all__ = ['LayoutLMv3Tokenizer', 'LayoutLMv3TokenizerFast']",
        "LayoutLMv3TokenizerFast = LayoutLMv3Tokenizer",
        'audio_tokenizer_class = "HiggsAudioV2TokenizerModel"',
        '_no_split_modules = ["Qwen2_5OmniToken2WavDiTModel"]',
        '("CUDA_POINTER_ATTRIBUTE_P2P_TOKENS", "HIP_POINTER_ATTRIBUTE_P2P_TOKENS"),',
        'PASSAGE_FILENAME = "psgs_w100.tsv.pkl"',
        'pass_name="b2b_gemm_pass",',
        "join(pwd, './data/philox-testset-1.csv')",
        "(None, 'joe', 'password', 'proxy.example.com:3128')",
        "user = User(username='scolvin', password='password1')",
        'publicKeyToken="1fc8b3b9a1e18e3b"',
        "...     verify_token='eyJhbGciOiJIUzI1NiJ9...',",
    ],
)
def test_code_about_secrets_is_none(line: str) -> None:
    assert secrets_in(line) == 0
    assert not is_secret_path("/some/project/tokens.py")


MODULES = ["ssl", "hashlib", "hmac", "netrc", "getpass", "urllib.request", "smtplib"]


@pytest.mark.parametrize("name", MODULES)
def test_the_standard_library_holds_none(name: str) -> None:
    assert first_secret(inspect.getsource(importlib.import_module(name))) is None


def test_the_line_is_named() -> None:
    assert first_secret("x = 1\ny = 2\n" + f"{CONTENTS[33]}\n" * 2) == 2
    document = Document("file:///a.py", f"x = 1\n{CONTENTS[33]}\n", 1, "python")
    assert told(document, "secret-content").endswith("(line 2)")


@given(
    st.lists(st.sampled_from(["x = 1", "", *CONTENTS]), max_size=6),
    st.data(),
)
def test_the_count_keeps_up_with_edits(lines: list[str], data: st.DataObject) -> None:
    text = "\n".join(lines)
    document = Document("file:///a.py", text, 1, "python")
    assert document.secrets == secrets_in(text)
    for _ in range(3):
        start = data.draw(st.integers(0, len(text)))
        end = data.draw(st.integers(start, len(text)))
        new = data.draw(
            st.sampled_from(["", "y", "\n", *CONTENTS, f"\n{CONTENTS[5]}\n"])
        )
        text = text[:start] + new + text[end:]
        document._replace(start, end, new)
        assert document.secrets == secrets_in(text)


def imports(names: range) -> str:
    return "".join(f"from mod{n} import helper\n" for n in names)


async def press_every_key(editor: Editor, at: types.Position) -> None:
    """All that can be asked in the open document; whatever comes of it."""
    whole = {
        "start": {"line": 0, "character": 0},
        "end": {"line": at.line, "character": at.character},
    }
    place = {"line": at.line, "character": at.character}
    await editor.items(at)
    await editor.items(at, manual=True)
    for name in ("dlmd.completeFunction", "dlmd.fillHoles"):
        await editor.run(name, position=place)
    for name in ("dlmd.rewrite", "dlmd.repair"):
        await editor.run(name, range=whole)
    viewed = {"uri": editor.uri, "range": whole}
    editor.client.protocol.notify("dlmd/viewed", viewed)


async def ask_elsewhere(editor: Editor, folder: Path, heard: Recorder) -> None:
    """Whatever was viewed or edited before may go along with this request."""
    editor.uri = (folder / "plain.py").as_uri()
    at = editor.open("from viewed import marker_value\n\nanswer = marker_value(|)\n")
    before = len(heard.requests)
    await editor.items(at, manual=True)
    assert len(heard.requests) == before + 1
    editor.close()


@pytest.mark.slow
async def test_names_never_leave(tmp_path: Path) -> None:
    async with (
        recording(tmp_path / "r") as heard,
        editing(tmp_path / "r", candidates=1) as editor,
    ):
        for number, name in enumerate(NAMES):
            file = tmp_path / "work" / str(number) / name
            editor.uri = file.as_uri()
            body = f"marker_value = 'marker {number} x'\ndef marker_value():\n    ..."
            at = editor.open(f"{body}\nTODO = |\n", language="python")
            await press_every_key(editor, at)
            why = await editor.run("dlmd.whyNot")
            assert why["code"] == "secret-file", name
            editor.type(at, f"'marker {number} y'")
            await ask_elsewhere(editor, tmp_path / "work", heard)
        assert len(heard.requests) == len(NAMES)
        assert "answer = marker_value(" in heard.heard
        assert "marker 0" not in heard.heard and "' x" not in heard.heard
        assert not [n for n in range(len(NAMES)) if f"marker {n} " in heard.heard]


@pytest.mark.slow
async def test_contents_never_leave(tmp_path: Path) -> None:
    work = tmp_path / "work"
    work.mkdir()
    async with (
        recording(tmp_path / "r") as heard,
        editing(tmp_path / "r", candidates=1) as editor,
    ):
        for number, content in enumerate(CONTENTS):
            editor.uri = (work / f"code{number}.py").as_uri()
            # Some come with the file, some are typed into it.
            first = content if number % 2 else "nothing = 0"
            start = f"def marker_value():\n    ...\n{first}\nmarker {number} x = "
            at = editor.open(f"{start}|\n")
            if not number % 2:
                editor.type(types.Position(2, 11), f"\n{content}")
                at = types.Position(at.line + 1, at.character)
            await press_every_key(editor, at)
            assert (await editor.run("dlmd.whyNot"))["code"] == "secret-content", (
                content
            )
            await ask_elsewhere(editor, work, heard)
            # Other files are read only where an import leads to them.
            (work / "viewed.py").write_text(f"marker_value = 1\n{content}\n")
        assert len(heard.requests) == len(CONTENTS)
        assert not [content for content in CONTENTS if content in heard.heard]
        assert not [n for n in range(len(CONTENTS)) if f"marker {n} " in heard.heard]


@pytest.mark.slow
async def test_ignored_files_never_leave(tmp_path: Path) -> None:
    work = tmp_path / "work"
    (work / "deep").mkdir(parents=True)
    (work / ".git").mkdir()
    (work / ".gitignore").write_text("*.gen.py\nbuild/\n")
    (work / ".dlmdignore").write_text("private_*\n!kept.gen.py\n")
    (work / "deep" / ".dlmdignore").write_text("here.py\n")
    cases = {
        "a.gen.py": "ignored-file",
        "build/b.py": "ignored-file",
        "private_c.py": "ignored-file",
        "deep/here.py": "ignored-file",
        "kept.gen.py": None,
        "here.py": None,
    }
    async with (
        recording(tmp_path / "r") as heard,
        editing(tmp_path / "r", candidates=1) as editor,
    ):
        for name, code in cases.items():
            editor.uri = (work / name).as_uri()
            at = editor.open(f"marker = '{name} x'\nvalue = |\n")
            before = len(heard.requests)
            await editor.items(at, manual=True)
            assert len(heard.requests) - before == (code is None), name
            why = await editor.run("dlmd.whyNot", position={"line": 1, "character": 8})
            assert why["code"] == code, name
        await asyncio.sleep(0)
