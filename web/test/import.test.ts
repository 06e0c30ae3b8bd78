// The one journey through a real browser that every run of the tests makes.

import { strict as assert } from "node:assert";
import { test } from "node:test";
import { expected, pathOf } from "./expected";
import { isAccessible, onPage, press, says, saysWhatTheShellSays } from "./visit";

test("a domain of the shell says the same in the page", async () => {
  await onPage(async (page) => {
    await isAccessible(page); // as it is at first: what needs a domain is disabled
    await saysWhatTheShellSays(page);
    const { foreign, among_all: among } = expected("lesson");
    assert.ok(foreign > 1);
    await page.getByLabel("Try with files").setInputFiles(pathOf("foreign.png"));
    await page.locator(".tried strong").filter({ hasText: "none of these" }).waitFor();
    await page.getByText(`${foreign.toFixed(1)} off: 1 is the limit`).waitFor();

    await page.getByLabel("Import a domain").setInputFiles(pathOf("store/squares.safetensors"));
    await says(page, /squares is here/);
    await page.getByLabel("Any domain").check();
    const files = Object.keys(among);
    await page.getByLabel("Try with files").setInputFiles(files.map(pathOf));
    await page.locator(".tried").nth(files.length - 1).waitFor();
    for (const [place, file] of files.entries()) {
      const [domain, label] = among[file];
      const shown = page.locator(".tried").nth(place);
      assert.equal(await shown.locator("strong").textContent(), label);
      assert.match((await shown.locator(".soft").textContent())!, new RegExp(`^${domain}, `));
    }
    await isAccessible(page);

    const downloading = page.waitForEvent("download");
    await press(page, "Export ONNX");
    await (await downloading).saveAs(pathOf("squares.onnx"));
    await says(page, /squares\.onnx says in itself/);
  });
});
