// Renders the Mermaid drawings of the documentation as SVG files: `make drawings`.
// Mermaid would otherwise be loaded from another host when a page is read.
import { createHash } from "node:crypto";
import { readFileSync, readdirSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import path from "node:path";
import { fileURLToPath } from "node:url";

const [modules] = process.argv.slice(2);
const require = createRequire(path.join(path.resolve(modules), "package.json"));
const { chromium } = require("playwright-core");
const script = readFileSync(require.resolve("mermaid/dist/mermaid.min.js"), "utf8");
const docs = path.join(path.dirname(fileURLToPath(import.meta.url)), "..");

const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  args: ["--no-sandbox", "--disable-gpu"],
});
const page = await browser.newPage();
await page.setContent("<!doctype html><title>drawing</title>");
await page.addScriptTag({ content: script });
for (const file of readdirSync(docs, { recursive: true }).filter((name) => name.endsWith(".md"))) {
  const text = readFileSync(path.join(docs, file), "utf8");
  for (const [, source] of text.matchAll(/^```mermaid\n(.*?)^```$/gms)) {
    const name = createHash("sha256").update(source).digest("hex").slice(0, 16);
    const svg = await page.evaluate(async (drawing) => {
      mermaid.initialize({ startOnLoad: false, htmlLabels: false, flowchart: { htmlLabels: false } });
      return (await mermaid.render("drawing", drawing)).svg;
    }, source);
    writeFileSync(path.join(docs, "images", `drawing-${name}.svg`), svg);
    console.log(`${file}: images/drawing-${name}.svg`);
  }
}
await browser.close();
