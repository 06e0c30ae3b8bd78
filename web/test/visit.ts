// A visit to the page in a real browser; tests/web/test_web_page.py serves it.

import { strict as assert } from "node:assert";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { after, before } from "node:test";
import { chromium, type Browser, type BrowserContext, type BrowserContextOptions, type Page } from "playwright-core";
import { assertNear, expected, pathOf } from "./expected";

export const wanted = expected("lesson");
const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const WAIT_MS = 60_000;

let browser: Browser;

before(async () => {
  const clip = process.env["ADDAPT_CLIP"]; // what the camera shows
  browser = await chromium.launch({
    executablePath: process.env["ADDAPT_CHROMIUM"]!,
    args: [
      "--no-sandbox",
      "--use-fake-device-for-media-stream",
      "--use-fake-ui-for-media-stream",
      ...(clip ? [`--use-file-for-fake-video-capture=${clip}`] : []),
    ],
  });
});
after(() => browser?.close());

export interface Visit extends BrowserContextOptions {
  at?: string;
  storageBytes?: number; // that the browser lets the page keep
  allowed?: RegExp; // errors on the console that are to be expected
}

/** Do something on the page; afterwards nothing may have gone wrong unseen. */
export async function onPage(
  work: (page: Page, context: BrowserContext) => Promise<void>,
  { at = process.env["ADDAPT_PAGE"]!, storageBytes, allowed = /^$/, ...options }: Visit = {},
): Promise<void> {
  const context = await browser.newContext({ acceptDownloads: true, ...options });
  const problems: string[] = [];
  context.on("weberror", (error) => problems.push(String(error.error())));
  context.on("console", (message) => {
    if (message.type() === "error" && !allowed.test(message.text())) problems.push(message.text());
  });
  const { origin } = new URL(at);
  context.on("request", (request) => {
    if (!request.url().startsWith(origin) && !request.url().startsWith("blob:")) problems.push(request.url());
  });
  const page = await context.newPage();
  page.setDefaultTimeout(WAIT_MS);
  if (storageBytes !== undefined) {
    const tab = await context.newCDPSession(page);
    await tab.send("Storage.overrideQuotaForOrigin", { origin, quotaSize: storageBytes });
  }
  try {
    await page.goto(at);
    await isReady(page);
    await work(page, context);
  } catch (error) {
    await page.screenshot({ path: pathOf("failed.png"), fullPage: true });
    problems.push(String(error), (await page.locator("#message").textContent()) ?? "");
  }
  await context.close();
  assert.deepEqual(problems, []);
}

export async function isReady(page: Page): Promise<void> {
  await page.waitForFunction(() => document.querySelector("#domain option") && !document.querySelector("#message")!.textContent);
}

export async function says(page: Page, words: RegExp): Promise<string> {
  const message = page.locator("#message").filter({ hasText: words });
  await message.waitFor();
  return (await message.textContent())!;
}

export async function press(page: Page, name: string): Promise<void> {
  await page.getByRole("button", { name, exact: true }).click();
}

export async function addImages(page: Page): Promise<void> {
  await page.getByLabel("Add class folders").setInputFiles(pathOf("images"));
  await says(page, /images were added to 3 classes/);
}

/** Import the domain that the shell has learned, and try files: it says what the shell says. */
export async function saysWhatTheShellSays(page: Page): Promise<void> {
  await page.getByLabel("Import a domain").setInputFiles(pathOf("store/colours.safetensors"));
  await says(page, /colours is here/);
  const files = ["blue/0.png", "green/3.png", "red/more 0.png"];
  await page.getByLabel("Try with files").setInputFiles(files.map((file) => pathOf(`images/${file}`)));
  await page.locator(".tried").nth(files.length - 1).waitFor();
  for (const [place, file] of files.entries()) {
    const shown = page.locator(".tried").nth(place);
    const names = await shown.locator(".answers > :nth-child(3n + 1)").allTextContents();
    const meters = await shown.locator("meter").evaluateAll((found) =>
      found.map((meter) => Number(meter.getAttribute("value"))),
    );
    const of = (name: string): number => meters[names.indexOf(name)]!;
    assertNear(wanted.classes.map(of), wanted.of_files[file], 1e-3);
  }
}

/** Assert that axe-core finds nothing to complain of in a part of the page, or all of it. */
export async function isAccessible(page: Page, part = "html"): Promise<void> {
  await page.evaluate(axe);
  const violations = await page.evaluate(async (part) => {
    const run = (globalThis as unknown as { axe: { run(part: string): Promise<{ violations: object[] }> } }).axe;
    return (await run.run(part)).violations;
  }, part);
  assert.deepEqual(violations, []);
}
