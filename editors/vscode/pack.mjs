// Packs what build.mjs made into dist/dlmd.vsix: a zip of the extension, its manifest for
// installers, and the kinds of its files. The same tree gives the same bytes. The usual
// packager is not used because a part of it is not free software.

import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { crc32, deflateRawSync } from "node:zlib";

process.chdir(path.dirname(fileURLToPath(import.meta.url)));
const it = JSON.parse(readFileSync("package.json", "utf8"));
const KINDS = { js: "application/javascript", json: "application/json", md: "text/markdown", png: "image/png", txt: "text/plain", vsixmanifest: "text/xml" };

const media = readdirSync("media").sort().map((name) => [`extension/media/${name}`, readFileSync(`media/${name}`)]);
const entries = [
  ["extension.vsixmanifest", Buffer.from(manifest())],
  ["[Content_Types].xml", Buffer.from(kinds())],
  ["extension/package.json", readFileSync("package.json")],
  ["extension/readme.md", readFileSync("README.md")],
  ["extension/LICENSE.txt", readFileSync("../../LICENSE")],
  ["extension/dist/extension.js", readFileSync("dist/extension.js")],
  ["extension/dist/licences.txt", readFileSync("dist/licences.txt")],
  ...media,
];
writeFileSync("dist/dlmd.vsix", zip(entries));
console.log(`dist/dlmd.vsix: ${entries.length} files`);

function xml(text) {
  return String(text).replace(/[<>&"]/g, (c) => ({ "<": "&lt;", ">": "&gt;", "&": "&amp;", '"': "&quot;" })[c]);
}

function manifest() {
  const code = (name, value) => `      <Property Id="Microsoft.VisualStudio.Code.${name}" Value="${xml(value)}" />`;
  const asset = (type, file) => `    <Asset Type="Microsoft.VisualStudio.${type}" Path="extension/${file}" Addressable="true" />`;
  return `<?xml version="1.0" encoding="utf-8"?>
<PackageManifest Version="2.0.0" xmlns="http://schemas.microsoft.com/developer/vsx-schema/2011">
  <Metadata>
    <Identity Language="en-US" Id="${xml(it.name)}" Version="${xml(it.version)}" Publisher="${xml(it.publisher)}" />
    <DisplayName>${xml(it.displayName)}</DisplayName>
    <Description xml:space="preserve">${xml(it.description)}</Description>
    <Tags>${xml(it.keywords.join(","))}</Tags>
    <Categories>${xml(it.categories.join(","))}</Categories>
    <GalleryFlags>Public</GalleryFlags>
    <Properties>
${code("Engine", it.engines.vscode)}
${code("ExtensionKind", it.extensionKind.join(","))}
${code("ExecutesCode", true)}
    </Properties>
    <License>extension/LICENSE.txt</License>
    <Icon>extension/${xml(it.icon)}</Icon>
  </Metadata>
  <Installation><InstallationTarget Id="Microsoft.VisualStudio.Code" /></Installation>
  <Dependencies />
  <Assets>
${asset("Code.Manifest", "package.json")}
${asset("Services.Content.Details", "readme.md")}
${asset("Services.Content.License", "LICENSE.txt")}
${asset("Services.Icons.Default", it.icon)}
  </Assets>
</PackageManifest>
`;
}

function kinds() {
  const rows = Object.entries(KINDS).map(([ending, kind]) => `  <Default Extension=".${ending}" ContentType="${kind}" />`);
  const types = "http://schemas.openxmlformats.org/package/2006/content-types";
  return `<?xml version="1.0" encoding="utf-8"?>\n<Types xmlns="${types}">\n${rows.join("\n")}\n</Types>\n`;
}

/** The format of PKWARE's APPNOTE, 4.3: local headers with data, a directory, its end. */
function zip(files) {
  const parts = [];
  const directory = [];
  let at = 0;
  for (const [name, data] of files) {
    const title = Buffer.from(name);
    const body = deflateRawSync(data, { level: 9 });
    const common = Buffer.alloc(26);
    // Version 2.0, names in UTF-8, deflated, 1980-01-01.
    common.writeUInt16LE(20, 0);
    common.writeUInt16LE(0x0800, 2);
    common.writeUInt16LE(8, 4);
    common.writeUInt32LE(0x00210000, 6);
    common.writeUInt32LE(crc32(data), 10);
    common.writeUInt32LE(body.length, 14);
    common.writeUInt32LE(data.length, 18);
    common.writeUInt16LE(title.length, 22);
    parts.push(Buffer.from("PK\x03\x04"), common, title, body);
    const rest = Buffer.alloc(14);
    rest.writeUInt32LE(at, 10);
    directory.push(Buffer.from("PK\x01\x02\x14\x00"), common, rest, title);
    at += 30 + title.length + body.length;
  }
  const size = directory.reduce((sum, part) => sum + part.length, 0);
  const end = Buffer.alloc(22);
  end.write("PK\x05\x06", "latin1");
  end.writeUInt16LE(files.length, 8);
  end.writeUInt16LE(files.length, 10);
  end.writeUInt32LE(size, 12);
  end.writeUInt32LE(at, 16);
  return Buffer.concat([...parts, ...directory, end]);
}
