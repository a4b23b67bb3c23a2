/**
 * Where the program dlmd may be, which Python could install it, and the exact command.
 *
 * Pure but for the `World` it is given. Looks only where installers put programs, never
 * inside the workspace: a folder somebody opened must not choose what is run.
 * Must not know VS Code.
 */

import * as path from "node:path";

export interface World {
  platform: NodeJS.Platform;
  home: string;
  path: string;
  runnable(file: string): boolean;
}

export interface Interpreter {
  file: string;
  major: number;
  minor: number;
  /** Whether it can make an environment (Debian splits that off). */
  venv: boolean;
}

const OWN_VENV = ".local/share/dlmd/venv";
const OLDEST = 11;
const NEWEST = 13;

/** The program, or null. */
export function findProgram(world: World, name = "dlmd"): string | null {
  return places(world).map((folder) => path.posix.join(folder, name)).find((file) => world.runnable(file)) ?? null;
}

/** A command that somebody named, its program in full; null when there is none such here. */
export function named(world: World, command: string[]): string[] | null {
  const [program = "", ...rest] = command;
  const file = program.replace(/^~(?=\/)/, world.home);
  const found = path.posix.isAbsolute(file) ? (world.runnable(file) ? file : null) : findProgram(world, file);
  return found === null ? null : [found, ...rest];
}

/** The same program with other words, where the command is ours: `dlmd lsp`, `python -m dlmd lsp`. */
export function instead(command: string[], words: string[]): string[] {
  const own = command.at(-1) === "lsp" ? command.slice(0, -1) : command.slice(0, 1);
  return [...own, ...words];
}

/** PATH first; then the folders that an editor started from the desktop often misses. */
export function places(world: World): string[] {
  const known = [".local/bin", `${OWN_VENV}/bin`, ".local/share/uv/tools/dlmd/bin", ".local/pipx/venvs/dlmd/bin", ".local/share/pipx/venvs/dlmd/bin"];
  const shared = ["/opt/homebrew/bin", "/usr/local/bin", "/usr/bin"];
  const onPath = world.path.split(":").filter((folder) => path.posix.isAbsolute(folder));
  return [...new Set([...onPath, ...known.map((folder) => path.posix.join(world.home, folder)), ...shared])];
}

/** Interpreters that may be on this machine, the versions we test first. */
export function interpreters(world: World): string[] {
  const names = ["python3.13", "python3.12", "python3.11", "python3"];
  const found = names.flatMap((name) => places(world).map((folder) => path.posix.join(folder, name)));
  return [...new Set(found.filter((file) => world.runnable(file)))];
}

/** What a candidate prints of itself; its answer goes to `interpreter`. */
export const PROBE = [
  "import sys, importlib.util as u",
  "print(sys.version_info[0], sys.version_info[1], bool(u.find_spec('venv') and u.find_spec('ensurepip')))",
].join("\n");

export function interpreter(file: string, told: string): Interpreter | null {
  const found = /^(\d+) (\d+) (True|False)$/m.exec(told);
  return found && { file, major: Number(found[1]), minor: Number(found[2]), venv: found[3] === "True" };
}

export function fits(python: Interpreter): boolean {
  return python.major === 3 && python.minor >= OLDEST && python.minor <= NEWEST;
}

/** The best of those that were asked: one that can make environments before one that cannot. */
export function best(pythons: Interpreter[]): Interpreter | null {
  const fitting = pythons.filter(fits);
  return fitting.find((python) => python.venv) ?? fitting[0] ?? null;
}

export type Plan = { command: string } | { lacks: string };

/** The exact command that installs from a folder or a wheel, or what is missing for it. */
export function installation(world: World, python: Interpreter | null, source: string): Plan {
  if (python === null) return { lacks: `Python 3.${OLDEST} to 3.${NEWEST} was not found; ${packages(world)}` };
  const pipx = findProgram(world, "pipx");
  const small = withoutCuda(world);
  if (pipx) {
    const passed = small && ` --pip-args=${small}`;
    return { command: `${quoted(pipx)} install --python ${quoted(python.file)}${passed} ${quoted(source)}` };
  }
  const uv = findProgram(world, "uv");
  if (uv) return { command: `${quoted(uv)} tool install --python ${quoted(python.file)} ${quoted(source)}` };
  if (!python.venv) {
    return { lacks: `${python.file} cannot make environments; install it with: sudo apt install python3.${python.minor}-venv` };
  }
  const venv = path.posix.join(world.home, OWN_VENV);
  const pip = `${quoted(`${venv}/bin/pip`)} install${small && ` ${small}`}`;
  return { command: `${quoted(python.file)} -m venv ${quoted(venv)} && ${pip} ${quoted(source)}` };
}

/** On Linux PyTorch brings CUDA along, ten times the size, for nothing where no driver is. */
function withoutCuda(world: World): string {
  const wanted = world.platform === "linux" && !findProgram(world, "nvidia-smi");
  return wanted ? "--extra-index-url=https://download.pytorch.org/whl/cpu" : "";
}

function packages(world: World): string {
  if (world.platform === "darwin") return "install it with: brew install python@3.13";
  if (findProgram(world, "apt-get")) return "install it with: sudo apt install python3 python3-venv";
  if (findProgram(world, "dnf")) return "install it with: sudo dnf install python3.13";
  return "install it with your system's package manager";
}

/** For a POSIX shell. */
export function quoted(word: string): string {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;
}
