// Checks every page of the built site with axe, and that no page requests another host:
// `make docs-check`. Arguments: the folder of node_modules, the folder of the site, and optionally
// pages of it; without them, all pages are checked.
import { readdirSync } from "node:fs";
import { createRequire } from "node:module";
import path from "node:path";
import { pathToFileURL } from "node:url";

const [modules, site] = process.argv.slice(2, 4).map((name) => path.resolve(name));
const named = process.argv.slice(4);
const require = createRequire(path.join(modules, "package.json"));
const { chromium } = require("playwright-core");
const axe = require("axe-core").source;

const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  args: [
    "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
  ],
});
const all = readdirSync(site, { recursive: true }).filter((name) => name.endsWith(".html"));
const pages = named.length ? named : all;
let problems = 0;
const report = (name, scheme, text) => {
  problems += 1;
  console.error(`${name} (${scheme}): ${text}`);
};
for (const scheme of ["light", "dark"]) {
  const page = await browser.newPage({ colorScheme: scheme, viewport: { width: 1280, height: 900 } });
  let name = "";
  page.on("request", (request) => {
    if (/^(https?|wss?):/.test(request.url())) report(name, scheme, `requests ${request.url()}`);
  });
  page.on("pageerror", (error) => report(name, scheme, `script error: ${error.message}`));
  for (name of pages) {
    await page.goto(pathToFileURL(path.join(site, name)).href);
    await page.evaluate(axe);
    const { violations } = await page.evaluate(() => axe.run(document, { resultTypes: ["violations"] }));
    for (const { id, impact, help, nodes } of violations) {
      report(name, scheme, `${impact} ${id}: ${help}: ${nodes.length} times, first ${nodes[0].html}`);
    }
  }
  await page.close();
}
const search = await browser.newPage();
await search.goto(pathToFileURL(path.join(site, "search.html")).href + "?q=lockfile");
const found = await search
  .waitForSelector("#search-results li a", { timeout: 60000 })
  .then(() => true, () => false);
if (!found) report("search.html", "light", "the search for `lockfile` finds nothing without a server");
await browser.close();
console.log(`${pages.length} pages in two colour schemes, the search: ${problems} problems`);
process.exit(problems ? 1 : 0);
