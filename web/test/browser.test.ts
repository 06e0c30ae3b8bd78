// The page in a real browser, by its own buttons; tests/web/test_web_page.py serves it.

import { strict as assert } from "node:assert";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { after, before, test } from "node:test";
import { chromium, type Browser, type BrowserContext, type BrowserContextOptions, type Page } from "playwright-core";
import { assertNear, expected, pathOf } from "./expected";

const address = process.env["ADDAPT_PAGE"]!;
const plainAddress = process.env["ADDAPT_PLAIN_PAGE"]!; // without the headers of isolation
const wanted = expected("lesson");
const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

let browser: Browser;

before(async () => {
  browser = await chromium.launch({
    executablePath: process.env["ADDAPT_CHROMIUM"]!,
    args: [
      "--no-sandbox",
      "--use-fake-device-for-media-stream",
      "--use-fake-ui-for-media-stream",
    ],
  });
});
after(() => browser?.close());

interface Visit extends BrowserContextOptions {
  at?: string;
  allowed?: RegExp; // errors on the console that are to be expected
}

/** Do something on the page; afterwards nothing may have gone wrong unseen. */
async function onPage(
  work: (page: Page, context: BrowserContext) => Promise<void>,
  { at = address, allowed = /^$/, ...options }: Visit = {},
): Promise<void> {
  const context = await browser.newContext({ acceptDownloads: true, ...options });
  const page = await context.newPage();
  const problems: string[] = [];
  page.on("pageerror", (error) => problems.push(String(error)));
  page.on("console", (message) => {
    if (message.type() === "error" && !allowed.test(message.text())) problems.push(message.text());
  });
  page.on("request", (request) => {
    if (!request.url().startsWith(at) && !request.url().startsWith("blob:")) problems.push(request.url());
  });
  page.setDefaultTimeout(120_000);
  try {
    await page.goto(at);
    await isReady(page);
    await work(page, context);
  } catch (error) {
    await page.screenshot({ path: pathOf("failed.png"), fullPage: true });
    problems.push(String(error), (await page.locator("#message").textContent()) ?? "");
  }
  assert.deepEqual(problems, []);
  await context.close();
}

async function isReady(page: Page): Promise<void> {
  await page.waitForFunction(() => document.querySelector("#domain option") && !document.querySelector("#message")!.textContent);
}

async function says(page: Page, words: RegExp): Promise<string> {
  const message = page.locator("#message").filter({ hasText: words });
  await message.waitFor();
  return (await message.textContent())!;
}

async function addImages(page: Page): Promise<void> {
  await page.getByLabel("Add class folders").setInputFiles(pathOf("images"));
  await says(page, /images were added to 3 classes/);
}

/** Have the page itself press the button: from outside, a run this short may be over before. */
async function pauseAtFirstStep(page: Page): Promise<void> {
  await page.evaluate(() => {
    const words = document.querySelector("#progress-words")!;
    new MutationObserver((_, observer) => {
      if (!/^Step/.test(words.textContent!)) return;
      observer.disconnect();
      [...document.querySelectorAll("button")].find((button) => button.textContent === "Pause")!.click();
    }).observe(words, { childList: true, characterData: true, subtree: true });
  });
}

async function isAccessible(page: Page): Promise<void> {
  await page.evaluate(axe);
  const violations = await page.evaluate(async () => {
    const run = (globalThis as unknown as { axe: { run(): Promise<{ violations: object[] }> } }).axe;
    return (await run.run()).violations;
  });
  assert.deepEqual(violations, []);
}

test("images are taught, the domain is exported, and a paused run goes on after a reload", async () => {
  await onPage(async (page) => {
    await page.getByRole("button", { name: "Teach", exact: true }).click();
    await says(page, /“class 1” has no image/);
    await addImages(page);
    assert.deepEqual(await page.locator("article h3").allTextContents(), wanted.classes);

    await pauseAtFirstStep(page);
    await page.getByRole("button", { name: "Teach", exact: true }).click();
    await says(page, /Paused/);
    await page.reload();
    await isReady(page);
    await page.evaluate(() => {
      // As another tab would hold it.
      void navigator.locks.request("addapt teach 1", () => new Promise(() => undefined));
    });
    await page.getByRole("button", { name: "Go on teaching" }).click();
    await says(page, /taught in another tab/);
    await page.reload();
    await isReady(page);
    await page.getByRole("button", { name: "Go on teaching" }).click();
    await says(page, /Taught/);

    const accuracy = (100 * wanted.info.val_accuracy).toFixed(1);
    assert.match((await page.locator("#result").textContent())!, new RegExp(`${accuracy}\\s%`));
    const downloading = page.waitForEvent("download");
    await page.getByRole("button", { name: "Export" }).click();
    await (await downloading).saveAs(pathOf("exported.safetensors"));
    const zipping = page.waitForEvent("download");
    await page.getByRole("button", { name: "Save all images" }).click();
    await (await zipping).saveAs(pathOf("exported.zip"));
    await isAccessible(page);
    await page.screenshot({ path: pathOf("desk.png"), fullPage: true });
  });
});

test("a domain of the shell says the same, is renamed, learned on and deleted", async () => {
  await onPage(async (page) => {
    const answers: string[] = [];
    page.on("dialog", (dialog) => dialog.accept(answers.shift()));
    await page.getByLabel("Import a domain").setInputFiles(pathOf("store/colours.safetensors"));
    await says(page, /colours is here/);
    const files = ["blue/0.png", "green/3.png", "red/more 0.png"];
    await page.getByLabel("Try with files").setInputFiles(files.map((file) => pathOf(`images/${file}`)));
    await page.locator(".tried").nth(2).waitFor();
    for (const [place, file] of files.entries()) {
      const shown = page.locator(".tried").nth(place);
      const names = await shown.locator(".answers > :nth-child(3n + 1)").allTextContents();
      const meters = await shown.locator("meter").evaluateAll((found) =>
        found.map((meter) => Number(meter.getAttribute("value"))),
      );
      const of = (name: string): number => meters[names.indexOf(name)]!;
      assertNear(wanted.classes.map(of), wanted.of_files[file], 1e-3);
    }

    answers.push("rot");
    await page.getByRole("button", { name: "Rename the class red" }).click();
    await page.getByRole("heading", { name: "rot" }).waitFor();
    answers.push("red");
    await page.getByRole("button", { name: "Rename the class rot" }).click();
    await addImages(page);
    await page.getByRole("button", { name: "Learn on" }).click();
    await says(page, /Taught/);
    answers.push("");
    await page.getByRole("button", { name: "Delete", exact: true }).click();
    await says(page, /colours is deleted/);
    assert.deepEqual(await page.locator("#domain option").allTextContents(), ["my-domain"]);
  });
});

test("files that are no domains, no images or no zips are refused in words", async () => {
  await onPage(async (page) => {
    const bad = (name: string, text: string) => ({ name, mimeType: "", buffer: Buffer.from(text) });
    await page.getByLabel("Import a domain").setInputFiles(bad("x.safetensors", "no domain at all"));
    await says(page, /not a domain of addapt/);
    await page.getByLabel("Add images of class 1").setInputFiles(bad("a.heic", "nothing"));
    await says(page, /0 images were added.*a\.heic.*HEIC/);
    await page.getByLabel("Add a zip").setInputFiles(bad("a.zip", "PK no zip"));
    await says(page, /no images in what was given/);
    page.once("dialog", (dialog) => dialog.accept("../up"));
    await page.getByRole("button", { name: "Add a class" }).click();
    await says(page, /cannot be called/);
    page.once("dialog", (dialog) => dialog.accept("a/b"));
    await page.getByRole("button", { name: "New" }).click();
    await says(page, /A domain cannot be called/);
  });
});

test("a camera's images are taken as long as a button is held, on a phone", async () => {
  const phone: Visit = { viewport: { width: 390, height: 800 }, hasTouch: true, colorScheme: "dark" };
  await onPage(async (page) => {
    const hold = page.getByRole("button", { name: "Hold to take images of class 1" });
    await hold.focus();
    await page.keyboard.press("Space");
    await says(page, /Switch the camera on first/);
    await page.getByRole("button", { name: "Switch the camera on" }).click();
    await page.getByLabel("The camera").waitFor();
    await hold.focus();
    await page.keyboard.down("Space");
    await page.getByText(/Taken: [3-9]/).waitFor();
    await page.keyboard.up("Space");
    await says(page, /\d+ images were added to class 1/);
    const taken = await page.locator(".images li").count();
    assert.ok(taken >= 3);
    await page.getByRole("button", { name: "Delete this image of class 1" }).first().click();
    await page.locator(".images li").nth(taken - 1).waitFor({ state: "detached" });
    const wide = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
    assert.ok(wide <= 0, "the page is wider than a phone");
    await isAccessible(page);
    await page.screenshot({ path: pathOf("phone.png"), fullPage: true });
  }, phone);
});

test("a storage that is full is told, and nothing is lost", async () => {
  await onPage(async (page) => {
    await addImages(page);
    await page.evaluate(() => {
      // Chromium's own limit cannot be set for IndexedDB.
      IDBObjectStore.prototype.add = () => {
        throw new DOMException("full", "QuotaExceededError");
      };
    });
    await page.getByLabel("Add images of blue").setInputFiles(pathOf("images/blue/1.png"));
    await says(page, /storage is full/);
    await page.reload();
    await isReady(page);
    assert.deepEqual(await page.locator("article h3").allTextContents(), wanted.classes);
    assert.equal(await page.locator(".images li").count(), wanted.labels.length);
  });
});

test("a host without headers: one thread without the service worker, more with it, and offline", async () => {
  await onPage(
    async (page) => {
      await page.getByText("one thread, as the page is not isolated").waitFor();
    },
    { at: plainAddress, serviceWorkers: "block" },
  );
  await onPage(
    async (page, context) => {
      await page.waitForFunction(() => crossOriginIsolated);
      await isReady(page);
      await page.getByText(/\d+ threads/).waitFor();
      await context.setOffline(true);
      await page.reload();
      await isReady(page);
      assert.equal(await page.locator("article").count(), 2);
    },
    { at: plainAddress, allowed: /ERR_INTERNET_DISCONNECTED/ },
  );
});
