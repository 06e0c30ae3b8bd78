// Visits the page as a person would and measures: an order comes in as JSON, and figures go out.
// benchmarks/page.py gives the order and says what is measured.

import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

const { chromium } = createRequire(new URL("../web/package.json", import.meta.url))("playwright-core");
const AT_ONCE = 100; // files that the page tries in one go
const VISITS = 7; // to a page that is kept

const order = JSON.parse(readFileSync(0, "utf8"));
const profile = await mkdtemp(join(tmpdir(), "addapt-page-"));
const context = await chromium.launchPersistentContext(profile, {
  executablePath: order.chromium,
  args: ["--no-sandbox"],
});
context.setDefaultTimeout(1_800_000);

async function open() {
  const page = await context.newPage();
  await page.addInitScript(() => {
    globalThis.blocks = [];
    new PerformanceObserver((list) => globalThis.blocks.push(...list.getEntries().map((entry) => entry.duration)))
      .observe({ type: "longtask" });
  });
  await page.goto(order.address);
  await page.waitForFunction(
    () => document.querySelector("#domain option") && !document.querySelector("#message").textContent,
  );
  return page;
}

const now = (page) => page.evaluate(() => performance.now());
const says = (page, words) => page.locator("#message").filter({ hasText: words }).waitFor();
const press = (page, name) => page.getByRole("button", { name, exact: true }).click();

/** Bytes that the server has sent so far. */
async function sentBytes() {
  return Number(await (await fetch(`${order.address}sent`)).text());
}

async function addImages(page) {
  await page.getByLabel("Add class folders").setInputFiles(order.train);
  await says(page, /images were added/);
}

async function teach(page) {
  await page.evaluate(() => (globalThis.blocks.length = 0));
  const started = await now(page);
  await press(page, "Teach");
  await says(page, /^Taught/);
  const ended = await now(page);
  const blocks = await page.evaluate(() => globalThis.blocks);
  return { teach_s: (ended - started) / 1000, longest_block_ms: Math.max(0, ...blocks) };
}

/** Try all test images; each file's folder is its class. */
async function tryAll(page) {
  const found = { right: 0, refused: 0, of: order.test.length, try_ms: [] };
  for (let start = 0; start < order.test.length; start += AT_ONCE) {
    const some = order.test.slice(start, start + AT_ONCE);
    await page.getByLabel("Try with files").setInputFiles(some);
    const last = page.locator(".tried").nth(some.length - 1).locator("img");
    await page.waitForFunction(
      ([count, name]) => document.querySelectorAll(".tried")[count - 1]?.querySelector("img").alt === name,
      [some.length, some.at(-1).split("/").at(-1)],
    );
    await last.waitFor();
    const answers = await page.locator(".tried").evaluateAll((tried) =>
      tried.map((each) => [each.querySelector("strong").textContent, each.querySelector(".soft").textContent]),
    );
    answers.forEach(([label, words], place) => {
      // As `addapt eval` counts: the likeliest class, whether the image is refused or not.
      const refused = label === "none of these";
      const likeliest = refused ? words.match(/: (.+), [\d.]+\s%, comes nearest/)[1] : label;
      found.right += likeliest === some[place].split("/").at(-2) ? 1 : 0;
      found.refused += refused ? 1 : 0;
      found.try_ms.push(Number(words.match(/(\d+) ms$/)[1]));
    });
  }
  return found;
}

try {
  let page = await open();
  const ready = await sentBytes();
  await addImages(page);
  const taught = await teach(page);
  const tried = await tryAll(page);
  const sent = await sentBytes();
  const ready_ms = [];
  for (let visit = 0; visit < VISITS; visit++) {
    await page.close();
    page = await open();
    ready_ms.push(await now(page));
  }
  const processor = await page.locator("#footer p").textContent();
  const browser = context.browser().version();
  console.log(JSON.stringify({ ready_bytes: ready, first_load_bytes: sent, ready_ms, taught, tried, processor, browser }));
} finally {
  await context.close();
  await rm(profile, { recursive: true, force: true });
}
