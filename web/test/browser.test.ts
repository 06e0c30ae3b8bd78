// The page in a real browser, by its own buttons; tests/web/test_web_page.py serves it.

import { strict as assert } from "node:assert";
import { test } from "node:test";
import type { Page } from "playwright-core";
import { pathOf } from "./expected";
import { addImages, isAccessible, isReady, onPage, press, says, saysWhatTheShellSays, wanted, type Visit } from "./visit";

const plainAddress = process.env["ADDAPT_PLAIN_PAGE"]!; // without the headers of isolation
const longAddress = process.env["ADDAPT_LONG_PAGE"]!; // whose teaching takes minutes

/** Wait for a step behind this one, and return which it is. */
async function stepBehind(page: Page, step: number): Promise<number> {
  const found = await page.waitForFunction((step) => {
    const [, done] = /^Step (\d+) of/.exec(document.querySelector("#progress-words")!.textContent!) ?? [];
    return Number(done) > step ? Number(done) : 0;
  }, step);
  return Number(await found.jsonValue());
}

/** Wait until the page says after which step it goes on. */
async function keptStep(page: Page): Promise<number> {
  const words = page.locator("#progress-words").filter({ hasText: /^Paused after step \d+/ });
  await words.waitFor();
  return Number(/\d+/.exec((await words.textContent())!)![0]);
}

test("images are taught, and the domain and its images are exported", async () => {
  await onPage(async (page) => {
    await press(page, "Teach");
    await says(page, /“class 1” has no image/);
    await addImages(page);
    assert.deepEqual(await page.locator("article h3").allTextContents(), wanted.classes);
    await press(page, "Teach");
    await says(page, /Taught/);

    const accuracy = (100 * wanted.info.val_accuracy).toFixed(1);
    assert.match((await page.locator("#result").textContent())!, new RegExp(`${accuracy}\\s%`));
    const downloading = page.waitForEvent("download");
    await press(page, "Export");
    await (await downloading).saveAs(pathOf("exported.safetensors"));
    const zipping = page.waitForEvent("download");
    await press(page, "Save all images");
    await (await zipping).saveAs(pathOf("exported.zip"));
    await isAccessible(page);
  });
});

test("teaching goes on where it was, after a pause, a reload in the middle, and in one tab only", async () => {
  await onPage(
    async (page, context) => {
      await addImages(page);
      await press(page, "Teach");
      await stepBehind(page, 0);
      await press(page, "Pause");
      await says(page, /Paused: it goes on/);
      const paused = await keptStep(page);
      assert.ok(paused > 0);
      await page.reload();
      await isReady(page);
      assert.equal(await keptStep(page), paused);

      await press(page, "Go on teaching");
      await stepBehind(page, paused);
      const other = await context.newPage();
      await other.goto(longAddress);
      await isReady(other);
      await press(other, "Go on teaching");
      await says(other, /taught in another tab/);
      await other.close();
      await page.reload({ timeout: 0 }); // the tab is gone in the middle of a step
      await isReady(page);
      const kept = await keptStep(page);
      assert.ok(kept >= paused);
      await press(page, "Go on teaching");
      await stepBehind(page, kept);
      await press(page, "Pause");
      await says(page, /Paused: it goes on/);
      assert.ok((await keptStep(page)) > kept);
    },
    { at: longAddress },
  );
});

test("what was learned is kept every ten seconds, without a pause", async () => {
  await onPage(
    async (page) => {
      await addImages(page);
      await press(page, "Teach");
      const shown = await stepBehind(page, 0);
      await page.waitForTimeout(11_000);
      await stepBehind(page, shown);
      await page.reload();
      await isReady(page);
      assert.ok((await keptStep(page)) > 0);
    },
    { at: longAddress },
  );
});

test("images are moved by menu, keyboard and dragging, and deleted by several", async () => {
  await onPage(async (page) => {
    await addImages(page);
    const cards = page.locator("article");
    const counts = async (): Promise<number[]> =>
      (await cards.locator("ul").all()).reduce<Promise<number[]>>(
        async (before, list) => [...(await before), await list.locator("li").count()],
        Promise.resolve([]),
      );
    const [blue, green, red] = await counts();
    const boxes = (place: number) => cards.nth(place).getByRole("checkbox");

    await boxes(0).nth(0).check();
    await boxes(0).nth(2).click({ modifiers: ["Shift"] });
    await page.getByText("3 images chosen").waitFor();
    await isAccessible(page);
    await page.getByLabel("Class to move to").selectOption("to green");
    await press(page, "Move");
    await says(page, /3 images were moved to green/);
    assert.deepEqual(await counts(), [blue! - 3, green! + 3, red]);
    assert.ok(!(await page.locator("#selection").isVisible()));

    await cards.nth(1).locator("li label").first().dragTo(cards.nth(0));
    await says(page, /1 image was moved to blue/);
    assert.deepEqual(await counts(), [blue! - 2, green! + 2, red]);

    await boxes(1).first().focus();
    await page.keyboard.press("Delete");
    await boxes(1).nth(green! + 1).waitFor({ state: "detached" });
    page.once("dialog", (dialog) => dialog.accept());
    await press(page, "Choose all images of red");
    await page.getByText(`${red} images chosen`).waitFor();
    await page.getByLabel("Chosen images").getByRole("button", { name: "Delete" }).click();
    await says(page, new RegExp(`${red} images were deleted`));
    await page.reload();
    await isReady(page);
    assert.deepEqual(await counts(), [blue! - 2, green! + 1, 0]);
  });
});

test("after an image was moved, teaching begins teaching anew", async () => {
  await onPage(
    async (page) => {
      await addImages(page);
      await press(page, "Teach");
      await stepBehind(page, 0);
      await press(page, "Pause");
      await says(page, /Paused: it goes on/);
      // The last of one class becomes the first of the next: the order of images stays.
      await page.locator("article").nth(0).getByRole("checkbox").first().check();
      await page.getByLabel("Class to move to").selectOption("to green");
      await press(page, "Move");
      await says(page, /1 image was moved/);
      await page.getByRole("button", { name: "Teach", exact: true }).waitFor();
    },
    { at: longAddress },
  );
});

test("a domain of the shell is renamed, learned on with a new class, and deleted", async () => {
  await onPage(async (page) => {
    const answers: string[] = [];
    page.on("dialog", (dialog) => dialog.accept(answers.shift()));
    await saysWhatTheShellSays(page);
    answers.push("rot");
    await press(page, "Rename the class red");
    await page.getByRole("heading", { name: "rot" }).waitFor();
    answers.push("red");
    await press(page, "Rename the class rot");
    await page.getByRole("heading", { name: "red", exact: true }).waitFor();

    answers.push("pink");
    await press(page, "Add a class");
    const pink = [0, 1, 2].map((number) => pathOf(`later/pink/${number}.png`));
    await page.getByLabel("Add images of pink").setInputFiles(pink);
    await says(page, /3 images were added to pink/);
    await press(page, "Learn on");
    await says(page, /“blue” has no image.*forgotten/);
    await addImages(page);
    await press(page, "Learn on");
    await says(page, /Taught/);
    await page.getByText("Knows 4 classes").waitFor();
    answers.push("");
    await press(page, "Delete");
    await says(page, /colours is deleted/);
    assert.deepEqual(await page.locator("#domain option").allTextContents(), ["my-domain"]);
  });
});

test("what one tab changes another shows, and a domain that one deletes is gone in both", async () => {
  await onPage(async (page, context) => {
    const other = await context.newPage();
    await other.goto(page.url());
    await isReady(other);
    await addImages(page);
    await other.getByRole("heading", { name: "red" }).waitFor();
    other.once("dialog", (dialog) => dialog.accept());
    await press(other, "Delete");
    await says(other, /my-domain is deleted/);
    await says(page, /deleted in another tab/);
    await page.getByRole("heading", { name: "class 1" }).waitFor();
  });
});

test("a camera that may not be used, or is unplugged, is told", async () => {
  await onPage(async (page) => {
    await press(page, "Switch the camera on");
    await page.getByLabel("The camera").waitFor();
    await page.getByLabel("The camera").evaluate((video: HTMLVideoElement) => {
      const [track] = (video.srcObject as MediaStream).getTracks();
      track!.stop();
      track!.dispatchEvent(new Event("ended")); // as the browser does when it is pulled
    });
    await says(page, /The camera is gone/);
    await page.evaluate(() => {
      navigator.mediaDevices.getUserMedia = () => Promise.reject(new DOMException("", "NotAllowedError"));
    });
    await press(page, "Switch the camera on");
    await says(page, /may not be used: allow it/);
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
    await press(page, "Add a class");
    await says(page, /cannot be called/);
    page.once("dialog", (dialog) => dialog.accept("a/b"));
    await press(page, "New");
    await says(page, /A domain cannot be called/);
  });
});

test("a camera's clip is recognised, and its images are taken as long as a button is held, on a phone", async () => {
  const phone: Visit = { viewport: { width: 390, height: 800 }, hasTouch: true, colorScheme: "dark" };
  await onPage(async (page) => {
    await saysWhatTheShellSays(page);
    const hold = page.getByRole("button", { name: "Hold to take images of green" });
    await hold.focus();
    await page.keyboard.press("Space");
    await says(page, /Switch the camera on first/);
    await press(page, "Switch the camera on");
    await page.locator("#live strong").filter({ hasText: /^green$/ }).waitFor(); // the clip shows one of green
    await hold.focus();
    await page.keyboard.down("Space");
    await page.getByText(/Taken: [3-9]/).waitFor();
    await page.keyboard.up("Space");
    await says(page, /\d+ images were added to green/);
    const taken = await page.locator(".images li").count();
    assert.ok(taken >= 3);
    await page.getByRole("button", { name: "Delete this image of green" }).first().click();
    await page.locator(".images li").nth(taken - 1).waitFor({ state: "detached" });
    const wide = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
    assert.ok(wide <= 0, "the page is wider than a phone");
    await isAccessible(page);
  }, phone);
});

test("a storage that is full is told, and nothing is lost", async () => {
  const small: Visit = { storageBytes: 1_000_000, serviceWorkers: "block" };
  await onPage(async (page) => {
    await addImages(page);
    await page.getByLabel("Add images of blue").setInputFiles(pathOf("later/large.png"));
    await says(page, /storage is full/);
    await page.reload();
    await isReady(page);
    assert.deepEqual(await page.locator("article h3").allTextContents(), wanted.classes);
    assert.equal(await page.locator(".images li").count(), wanted.labels.length);
  }, small);
});

test("a host without headers: one thread without the service worker, more with it, and offline", async () => {
  await onPage(
    async (page) => {
      await page.getByText("one thread, as the page is not isolated").waitFor();
      await saysWhatTheShellSays(page);
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
