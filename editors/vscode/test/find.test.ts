import assert from "node:assert/strict";
import { test } from "node:test";
import { best, findProgram, installation, instead, interpreter, interpreters, named, places, quoted, type World } from "../src/find";

function world(files: string[], more: Partial<World> = {}): World {
  return { platform: "linux", home: "/home/ada", path: "/usr/bin:/bin", runnable: (file) => files.includes(file), ...more };
}

const PYTHON = { file: "/usr/bin/python3.12", major: 3, minor: 12, venv: true };

test("PATH comes first, then where pipx puts programs although an editor's PATH lacks it", () => {
  assert.equal(findProgram(world(["/home/ada/.local/bin/dlmd", "/usr/bin/dlmd"])), "/usr/bin/dlmd");
  assert.equal(findProgram(world(["/home/ada/.local/bin/dlmd"])), "/home/ada/.local/bin/dlmd");
  assert.equal(findProgram(world([])), null);
});

test("a relative entry of PATH, which would be a place in the workspace, is passed over", () => {
  const relative = world(["./dlmd", "bin/dlmd", "dlmd", "/dlmd"], { path: ".:bin::" });
  assert.equal(findProgram(relative), null);
  assert.ok(places(relative).every((folder) => folder.startsWith("/")));
});

test("interpreters are tried newest first, each once", () => {
  const found = interpreters(world(["/usr/bin/python3", "/usr/bin/python3.11"], { path: "/usr/bin:/usr/bin" }));
  assert.deepEqual(found, ["/usr/bin/python3.11", "/usr/bin/python3"]);
});

test("what an interpreter says of itself is read, and nonsense is not", () => {
  assert.deepEqual(interpreter("p", "3 12 True\n"), { file: "p", major: 3, minor: 12, venv: true });
  assert.equal(interpreter("p", "Python was not found"), null);
});

test("too old and too new are passed over; one that makes environments wins", () => {
  const of = (minor: number, venv: boolean) => ({ file: `python3.${minor}`, major: 3, minor, venv });
  assert.equal(best([of(10, true), of(14, true)]), null);
  assert.equal(best([of(13, false), of(11, true)])?.minor, 11);
  assert.equal(best([of(13, false)])?.minor, 13);
});

test("pipx, then uv, then an environment of its own", () => {
  const nvidia = "/usr/bin/nvidia-smi";
  const command = (...files: string[]) => installation(world([nvidia, ...files]), PYTHON, "/src/dl md");
  assert.deepEqual(command("/usr/bin/pipx"), { command: "/usr/bin/pipx install --python /usr/bin/python3.12 '/src/dl md'" });
  assert.deepEqual(command("/usr/bin/uv"), { command: "/usr/bin/uv tool install --python /usr/bin/python3.12 '/src/dl md'" });
  assert.deepEqual(command(), {
    command: "/usr/bin/python3.12 -m venv /home/ada/.local/share/dlmd/venv && /home/ada/.local/share/dlmd/venv/bin/pip install '/src/dl md'",
  });
});

test("the environment that is made is a place that is looked at", () => {
  assert.ok(places(world([])).includes("/home/ada/.local/share/dlmd/venv/bin"));
});

test("without an NVIDIA driver Linux is spared CUDA", () => {
  const plan = installation(world(["/usr/bin/pipx"]), PYTHON, "/src");
  assert.match("command" in plan ? plan.command : "", /--pip-args=--extra-index-url=\S+\/whl\/cpu \/src$/);
  const mac = installation(world(["/usr/bin/pipx"], { platform: "darwin" }), PYTHON, "/src");
  assert.doesNotMatch("command" in mac ? mac.command : "", /index/);
});

test("what is missing is named with the command that brings it", () => {
  assert.deepEqual(installation(world(["/usr/bin/apt-get"]), null, "/src"), {
    lacks: "Python 3.11 to 3.13 was not found; install it with: sudo apt install python3 python3-venv",
  });
  assert.deepEqual(installation(world([]), { ...PYTHON, venv: false }, "/src"), {
    lacks: "/usr/bin/python3.12 cannot make environments; install it with: sudo apt install python3.12-venv",
  });
});

test("words that a shell would take apart are quoted", () => {
  assert.equal(quoted("/a/b-c_d.e"), "/a/b-c_d.e");
  assert.equal(quoted("it's $HOME; `x`"), "'it'\\''s $HOME; `x`'");
});

test("a command that somebody named: its program in full, or nothing", () => {
  const here = world(["/home/ada/dlmd/bin/dlmd", "/usr/bin/python3"]);
  assert.deepEqual(named(here, ["~/dlmd/bin/dlmd", "lsp"]), ["/home/ada/dlmd/bin/dlmd", "lsp"]);
  assert.deepEqual(named(here, ["python3", "-m", "dlmd", "lsp"]), ["/usr/bin/python3", "-m", "dlmd", "lsp"]);
  assert.equal(named(here, ["/gone/dlmd", "lsp"]), null);
});

test("other words to the same program keep what starts it", () => {
  assert.deepEqual(instead(["/b/dlmd", "lsp"], ["doctor"]), ["/b/dlmd", "doctor"]);
  assert.deepEqual(instead(["/b/python", "-m", "dlmd", "lsp"], ["stats"]), ["/b/python", "-m", "dlmd", "stats"]);
  assert.deepEqual(instead(["/b/dlmd"], ["doctor"]), ["/b/dlmd", "doctor"]);
});
