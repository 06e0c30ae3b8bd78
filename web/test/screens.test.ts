// Pictures of the page with a domain that it was taught; tests/web/test_web_screens.py gives the images.

import { strict as assert } from "node:assert";
import { test } from "node:test";
import { pathOf } from "./expected";
import { onPage, press, says } from "./visit";

const DESK = { width: 1280, height: 920 };
const PHONE = { width: 390, height: 844 };

test("three kinds of animals are taught, tried, and shown on a desk and on a phone", async () => {
  await onPage(
    async (page) => {
      page.once("dialog", (dialog) => dialog.accept("animals"));
      await press(page, "Rename");
      await page.locator("#domain option").filter({ hasText: "animals" }).waitFor({ state: "attached" });
      await page.getByLabel("Add class folders").setInputFiles(pathOf("animals"));
      await says(page, /images were added to 3 classes/);
      await press(page, "Teach");
      await says(page, /^Taught/);
      const input = page.getByLabel("Try with files");
      await input.setInputFiles(pathOf("unseen/giraffe.png")); // the first waits for the graph
      await page.getByAltText("giraffe.png").waitFor();
      await input.setInputFiles(["elephant", "giraffe"].map((name) => pathOf(`unseen/${name}.png`)));
      await page.locator(".tried").nth(1).waitFor();
      assert.deepEqual(await page.locator(".tried strong").allTextContents(), ["elephant", "giraffe"]);
      await page.evaluate(() => scrollTo(0, 0));
      await page.screenshot({ path: pathOf("desk.png") });
      await page.setViewportSize(PHONE);
      await page.locator("#teach-title").evaluate((title) => title.closest("section")!.scrollIntoView());
      await page.screenshot({ path: pathOf("phone.png") });
    },
    { viewport: DESK, deviceScaleFactor: 1 },
  );
});
