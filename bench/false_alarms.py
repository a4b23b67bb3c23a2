"""Which files of public code are taken for holders of secrets: they should be next to none.

`python bench/false_alarms.py [FOLDER…]`: looks through the Python of the standard library and
of what is installed beside this interpreter, or of the folders named, as the language server looks through
a document before it sends anything. Prints how many files are refused by name and by content,
and the line of each. Must not know the rules.
"""

import json
import sys
import sysconfig
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "daemon"), str(ROOT / "lsp")]

from dlmd_lsp.ask.secrets import first_secret, is_secret_path  # noqa: E402
from dlmd_lsp.document import LARGEST  # noqa: E402


def looked_through(folder: Path) -> dict[str, Any]:
    began, letters, files = time.perf_counter(), 0, 0
    names: list[str] = []
    contents: list[str] = []
    for file in sorted(folder.rglob("*.py")):
        inside = file.relative_to(folder)
        if "site-packages" in inside.parts:
            continue
        try:
            text = file.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError):
            continue
        if len(text) > LARGEST:
            continue
        files, letters = files + 1, letters + len(text)
        if is_secret_path(str(inside)):
            names.append(str(inside))
        row = first_secret(text)
        if row is not None:
            line = text.split("\n")[row].strip()[:100]
            contents.append(f"{inside}:{row + 1}: {line}")
    return {
        "folder": str(folder),
        "files": files,
        "million_letters": round(letters / 1e6, 1),
        "refused_by_name": len(names),
        "refused_by_content": len(contents),
        "took_s": round(time.perf_counter() - began, 1),
        "names": names,
        "contents": contents,
    }


def main() -> int:
    paths = sysconfig.get_paths()
    folders = sys.argv[1:] or [paths["stdlib"], paths["purelib"]]
    for folder in folders:
        print(json.dumps(looked_through(Path(folder)), indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
