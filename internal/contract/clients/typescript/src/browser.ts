/**
 * browser.js SCENARIO: the scenario in headless Chromium, by the same code in one bundle. Its
 * page has the service's own origin, so that no call needs CORS; the calls themselves are real.
 */
import { readFileSync } from "node:fs";
import { build } from "esbuild";
import { chromium } from "playwright-core";
import type { play } from "./scenario.js";

declare global {
  interface Window {
    scenario: { play: typeof play };
    print(line: string): void;
  }
}

const [, , file] = process.argv;
const address = process.env["OCORE_AUDIT_URL"];
if (file === undefined || address === undefined) throw new Error("usage: with-service -- browser.js SCENARIO");
const scenario = readFileSync(file, "utf8");
const environment = Object.fromEntries(Object.entries(process.env).filter(([name]) => name === "OCORE_AUDIT_URL" || name.startsWith("TOKEN")));

const bundle = await build({
  absWorkingDir: new URL("..", import.meta.url).pathname,
  entryPoints: ["dist/scenario.js"],
  bundle: true,
  write: false,
  format: "iife",
  globalName: "scenario",
  platform: "browser",
  alias: { "csv-parse/sync": "csv-parse/browser/esm/sync" }, // the other one needs Node's Buffer
});
const browser = await chromium.launch({ executablePath: process.env["CHROMIUM"] ?? "/usr/bin/chromium", args: ["--no-sandbox", "--disable-gpu"] });
try {
  const page = await browser.newPage();
  await page.route(`${address}/`, (route) => route.fulfill({ contentType: "text/html", body: "<!doctype html><title>scenario</title>" }));
  await page.exposeFunction("print", console.log);
  await page.goto(`${address}/`);
  await page.addScriptTag({ content: bundle.outputFiles[0]?.text ?? "" });
  const failed = await page.evaluate(([told, known]) =>
     window.scenario.play(JSON.parse(told), known, "browser", (line) => window.print(line)), [scenario, environment] as const);
  process.exitCode = failed === 0 ? 0 : 1;
} finally {
  await browser.close();
}
