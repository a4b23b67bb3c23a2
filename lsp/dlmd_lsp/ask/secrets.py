"""Files and lines that look like secrets: what never leaves the server.

Names and patterns are built in and cannot be switched off. Rather a file too many than one
too few, but a pattern needs the shape of a real secret: `password = read()` is none.
Pure functions; must not know documents.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from fnmatch import fnmatchcase
from functools import cache
from pathlib import PurePath

NAMES = (
    ".env",
    ".env.*",
    "*.env",
    ".envrc",
    ".netrc",
    "_netrc",
    ".pgpass",
    ".my.cnf",
    ".mylogin.cnf",
    ".npmrc",
    ".yarnrc",
    ".yarnrc.yml",
    ".pypirc",
    ".htpasswd",
    ".git-credentials",
    ".dockercfg",
    ".dockerconfigjson",
    ".s3cfg",
    ".boto",
    ".vault-token",
    ".vault_pass*",
    ".bash_history",
    ".zsh_history",
    ".python_history",
    ".psql_history",
    ".mysql_history",
    "*.pem",
    "*.key",
    "*.p12",
    "*.pfx",
    "*.p8",
    "*.pk8",
    "*.jks",
    "*.keystore",
    "*.kdbx",
    "*.kdb",
    "*.ppk",
    "*.asc",
    "*.gpg",
    "*.age",
    "*.cer",
    "*.crt",
    "*.der",
    "*.ovpn",
    "*.tfvars",
    "*.tfvars.json",
    "*.tfstate",
    "*.tfstate.*",
    "*.secret",
    "*.secrets",
    "id_rsa*",
    "id_dsa*",
    "id_ecdsa*",
    "id_ed25519*",
    "ssh_host_*_key",
    "credentials",
    "credentials.*",
    "*credentials.json",
    "client_secret*.json",
    "service-account*.json",
    "service_account*.json",
    "secret.*",
    "secrets.*",
    "secrets",
    "vault.yml",
    "vault.yaml",
    "htpasswd",
    "shadow",
    "master.key",
    "kubeconfig",
    "wp-config.php",
    "terraform.rc",
    ".terraformrc",
    "accesstokens.json",
    "passwords.*",
    "token",
    "tokens.json",
    "auth.json",
)
# Whatever lies in one of these.
FOLDERS = {".ssh", ".aws", ".azure", ".gnupg", ".gcloud", ".kube", ".docker", "secrets"}

# What stands in quotes where a secret would: examples, hosts, a few escaped letters.
_NOT = (
    r"""(?!(?:(?:pass\w{0,4}|secret|token|test)\d{1,4}|(?:\\x[0-9a-f]{2}){1,4}|"""
    r"""\\u[0-9a-f]{4,8}|[\w.\-]+\.(?:com|org|net|io)(?::\d+)?|localhost:\d+|[^"'`\s]*\.\.\.[^"'`\s]*)"""
    r"""["'`])"""
)
_QUOTED = (
    rf"""[rbuf]{{0,2}}["'`]{_NOT}(?=[^"'`\s]*[0-9])(?=[^"'`\s]*[A-Za-z])"""
    r"""[^"'`\s{}<>]{8,}["'`]"""
)
# Not `tokens`, `tokenizer` or `token2wav`, which code that reads languages is full of.
_WORDS = (
    r"(?:pass(?:word|wd|phrase|code)|pass(?!\w)|pwd|secret|"
    r"(?<!publickey)token(?!iz|s?[\"']\s*,|2[a-z])|"
    r"api[_-]?key|apikey|access[_-]?key|"
    r"auth[_-]?key|private[_-]?key|client[_-]?secret|credentials?|encryption[_-]?key|"
    r"signing[_-]?key|secret[_-]?key(?:[_-]?base)?|session[_-]?key|master[_-]?key|"
    r"account[_-]?key|webhook[_-]?secret)"
)
_NAMED = rf"{_WORDS}(?:[_\-][\w\-]*|\w{{0,10}})"
# Passwords in the addresses of examples.
_EXAMPLE = (
    r"(?:(?:my|your)?_?-?(?:pass(?:word|wd|phrase)?|pwd|secret|token)|repo|x{3,}|\*+)"
)
PATTERNS = (
    r"-----(?:BEGIN|END)[A-Z0-9 ]*(?:PRIVATE KEY|PGP MESSAGE|OPENSSH)[A-Z ]*-----",
    r"LS0tLS1CRUdJTi",  # five dashes and BEGIN, in base64
    r"PuTTY-User-Key-File-\d",
    r"AGE-SECRET-KEY-1[A-Z0-9]{20,}",
    r"\b(?:AKIA|ASIA|AGPA|AIDA|AROA|ABIA|ACCA)[A-Z0-9]{16}\b",
    r"(?i)aws.{0,20}(?:secret|key).{0,20}[\"'=: ][A-Za-z0-9/+=]{40}\b",
    r"\bgh[pousr]_[A-Za-z0-9]{30,}",
    r"\bgithub_pat_[A-Za-z0-9_]{22,}",
    r"\bgl(?:pat|ptt|dt|rt|soat|agent)-[A-Za-z0-9_\-]{16,}",
    r"\bATBB[A-Za-z0-9]{24,}",
    r"\bxox[abeoprs]-[A-Za-z0-9-]{10,}",
    r"\bxapp-\d-[A-Z0-9]+-\d+-[a-z0-9]+",
    r"hooks\.slack\.com/services/T[A-Za-z0-9_]+/B[A-Za-z0-9_]+/[A-Za-z0-9_]+",
    r"discord(?:app)?\.com/api/webhooks/\d+/[\w-]+",
    r"\b[MNO][A-Za-z\d]{23,25}\.[\w-]{6}\.[\w-]{27,}",
    r"\bsk-(?:proj-|ant-|or-|svcacct-)?[A-Za-z0-9_\-]{20,}",
    r"\b(?:sk|rk|pk|whsec)_(?:live|test)_[A-Za-z0-9]{10,}",
    r"\bwhsec_[A-Za-z0-9+/=]{20,}",
    r"\bAIza[A-Za-z0-9_\-]{30,}",
    r"\bya29\.[A-Za-z0-9_\-]{20,}",
    r"\bGOCSPX-[A-Za-z0-9_\-]{20,}",
    r"\bhf_[A-Za-z0-9]{30,}",
    r"\bnpm_[A-Za-z0-9]{30,}",
    r"\bpypi-[A-Za-z0-9_\-]{16,}",
    r"\brubygems_[a-f0-9]{40,}",
    r"\bdckr_pat_[A-Za-z0-9_\-]{20,}",
    r"\bdop_v1_[a-f0-9]{40,}",
    r"\bSG\.[A-Za-z0-9_\-]{16,}\.[A-Za-z0-9_\-]{16,}",
    r"\bkey-[a-f0-9]{32}\b",
    r"\b(?:AC|SK)[a-f0-9]{32}\b",
    r"\bEAA[A-Za-z0-9]{30,}",
    r"\bsq0(?:atp|csp|idp)-[A-Za-z0-9_\-]{20,}",
    r"\bshp(?:at|ca|pa|ss)_[a-fA-F0-9]{30,}",
    r"\bNRAK-[A-Z0-9]{20,}",
    r"\bglsa_[A-Za-z0-9]{30,}",
    r"\blin_api_[A-Za-z0-9]{30,}",
    r"\bhv[sbr]\.[A-Za-z0-9_\-]{20,}",
    r"\bdapi[a-f0-9]{32}",
    r"\bpat[A-Za-z0-9]{14}\.[a-f0-9]{64}",
    r"\beyJ[A-Za-z0-9_\-]{8,}\.eyJ[A-Za-z0-9_\-]{8,}\.[A-Za-z0-9_\-]+",
    r"\b\d{8,10}:AA[A-Za-z0-9_\-]{30,}",
    r"(?i)\b(?:AccountKey|SharedAccessKey|SharedAccessSignature)=[A-Za-z0-9+/=%]{16,}",
    r"(?i)[?&]sig=[A-Za-z0-9%]{30,}",
    rf"\b[a-z][a-z0-9+.\-]*://[^\s:/@\"'<>{{}}$\[\]]*:(?!(?i:{_EXAMPLE})@)[^\s:/@\"'<>{{}}$\[\]]{{4,}}@[^\s\"'/]+",
    r"(?i)\bauthorization[\"']?\s*[:=]\s*[\"']?(?:bearer|basic|token)\s+[A-Za-z0-9._+/=\-]{12,}",
    r"(?i)\bbearer\s+[A-Za-z0-9._\-]{24,}",
    rf"(?i){_NAMED}[\"']?\]?\s*(?::\s*[\w.\[\]| ]+=|:=|=>|[:=])\s*{_QUOTED}",
    rf"(?i)[\"'][\w.\- ]*{_NAMED}[\"']\s*,\s*{_QUOTED}",
    rf"(?i)^\s*(?:export\s+|set\s+|-\s+)?[\w.\-]*{_WORDS}[\w\-]*\s*[:=]\s*(?=\S*[0-9])(?=\S*[A-Za-z])[^\s\"'(){{}}\[\]<>$,;.]{{12,}}\s*$",
    r"(?i)\bpassword\s*=\s*[^\s;\"'(){}<>]{6,}\s*;",
)
# Each pattern holds one of these in lower case; looking for them first is fifty times faster.
NEEDLES = (
    *("-----", "putty", "age-secret", "akia", "asia", "agpa", "aida", "aroa", "abia"),
    *("acca", "aws", "ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat", "glpat-"),
    *("glptt-", "gldt-", "glrt-", "glsoat-", "glagent-", "atbb", "xox", "xapp-"),
    *("hooks.slack", "api/webhooks", "sk-", "sk_", "rk_", "pk_", "whsec_", "aiza"),
    *("ya29.", "gocspx-", "hf_", "npm_", "pypi-", "rubygems_", "dckr_pat", "dop_v1"),
    *("sg.", "key", "eaa", "sq0", "shpat", "shpca", "shppa", "shpss", "nrak-"),
    *("glsa_", "lin_api", "hvs.", "hvb.", "hvr.", "dapi", "eyj", ":aa"),
    *("sharedaccess", "sig=", "://", "authorization", "bearer", "pass", "pwd"),
    *("secret", "token", "credential", "ls0tls1crudjti"),
)
# Tokens without a word of their own in front; any long line of such letters is looked at.
_DENSE = re.compile(r"[\w\-]{27,}|[A-Za-z0-9+/]{48,}", re.ASCII)
_BODY = re.compile(r"^[\s\"'+>]*([A-Za-z0-9+/]{56,})={0,2}[\s\"'\\n,+);]*$")


@cache
def _patterns() -> tuple[re.Pattern[str], re.Pattern[str]]:
    """Those that mind case and those that do not; made when first needed."""
    told = [p for p in PATTERNS if not p.startswith("(?i)")]
    free = [p.removeprefix("(?i)") for p in PATTERNS if p.startswith("(?i)")]
    return (
        re.compile("|".join(f"(?:{p})" for p in told)),
        re.compile("|".join(f"(?:{p})" for p in free), re.IGNORECASE),
    )


def is_secret_path(path: str) -> bool:
    """Whether a file of that path is never read or sent."""
    found = PurePath(path.replace("\\", "/"))
    name = found.name.lower()
    return any(fnmatchcase(name, pattern) for pattern in NAMES) or any(
        folder.lower() in FOLDERS for folder in found.parts[:-1]
    )


def secrets_in(text: str) -> int:
    """How many lines of the text hold something that looks like a secret."""
    return sum(1 for _ in _found(text))


def first_secret(text: str) -> int | None:
    """The first of those lines, from 0."""
    starts = [start for start, _ in _found(text)]
    return text.count("\n", 0, min(starts)) if starts else None


def _found(text: str) -> Iterator[tuple[int, str]]:
    told, free = _patterns()
    for start, line in _doubtful(text):
        if told.search(line) or free.search(line) or _is_body(line):
            yield start, line


def _is_body(line: str) -> bool:
    """A line of a key without its head: letters as chance would throw them, while a digest
    has no capitals, a long number no letters and a long name few of either."""
    found = _BODY.match(line)
    if found is None:
        return False
    text = found[1]
    kinds = (str.isupper, str.islower, str.isdigit)
    capitals, small, digits = (sum(map(kind, text)) for kind in kinds)
    least = len(text) // 7
    varied = len(set(text)) > min(len(text), 64) // 2 - 4
    return capitals >= least and small >= least and digits >= 3 and varied


def _doubtful(text: str) -> Iterator[tuple[int, str]]:
    """The lines that are worth the patterns, and where they begin."""
    low = text.lower()
    found = {
        low.rfind("\n", 0, at) + 1 for needle in NEEDLES for at in _all(low, needle)
    }
    found |= {low.rfind("\n", 0, m.start()) + 1 for m in _DENSE.finditer(text)}
    # Lower case may be longer than upper case; then every line is looked at.
    if len(low) != len(text):
        found = {0, *(at + 1 for at in _breaks(text))}
    for start in found:
        end = text.find("\n", start)
        yield start, text[start : end if end >= 0 else None]


def _breaks(text: str) -> Iterator[int]:
    at = text.find("\n")
    while at >= 0:
        yield at
        at = text.find("\n", at + 1)


def _all(text: str, needle: str) -> Iterator[int]:
    at = text.find(needle)
    while at >= 0:
        yield at
        # One look at a line is enough.
        line_end = text.find("\n", at)
        at = text.find(needle, line_end) if line_end >= 0 else -1
