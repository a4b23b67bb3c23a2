// Bundles the extension, and gathers the licences of what is bundled.
// `--tests` bundles the unit tests instead. A licence outside the list below fails the build.

import { existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const ALLOWED = ["MIT", "ISC", "BSD-2-Clause", "BSD-3-Clause", "Apache-2.0", "BlueOak-1.0.0", "0BSD"];
process.chdir(path.dirname(fileURLToPath(import.meta.url)));

const shared = { bundle: true, platform: "node", format: "cjs", target: "node20", logLevel: "warning" };
if (process.argv.includes("--tests")) {
  rmSync("dist/test", { recursive: true, force: true });
  const tests = readdirSync("test").map((name) => `test/${name}`);
  await build({ ...shared, entryPoints: tests, outdir: "dist/test", sourcemap: "inline" });
} else {
  const { metafile } = await build({
    ...shared,
    entryPoints: ["src/extension.ts"],
    outfile: "dist/extension.js",
    external: ["vscode"],
    minify: true,
    metafile: true,
  });
  writeFileSync("dist/licences.txt", licences(Object.keys(metafile.inputs)));
}

/** Each bundled package with its licence in full, as these licences ask. */
function licences(inputs) {
  const folders = new Set(inputs.map((file) => /^.*node_modules\/(?:@[^/]+\/)?[^/]+/.exec(file)?.[0]).filter(Boolean));
  return [...folders].sort().map(notice).join(`\n\n${"-".repeat(80)}\n\n`);
}

function notice(folder) {
  const { name, version, license } = JSON.parse(readFileSync(`${folder}/package.json`, "utf8"));
  if (!ALLOWED.includes(license)) {
    throw new Error(`${name} ${version} is under ${license}, which is not among ${ALLOWED.join(", ")}; bundle something else`);
  }
  const file = readdirSync(folder).find((entry) => /^(licen[sc]e|copying)/i.test(entry));
  if (!file || !existsSync(`${folder}/${file}`)) throw new Error(`${name} ${version} ships no licence text; bundle something else`);
  return `${name} ${version} (${license})\n\n${readFileSync(`${folder}/${file}`, "utf8").trim()}`;
}
