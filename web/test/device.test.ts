// The domains of a device, through the page in a real browser; tests/web/test_web_device.py serves it.

import { strict as assert } from "node:assert";
import { test } from "node:test";
import { pathOf } from "./expected";
import { isAccessible, onPage, says, wanted } from "./visit";

test("a device is taught from class folders, found again after a reload, tried and downloaded", async () => {
  await onPage(async (page) => {
    await page.getByRole("heading", { name: "On the device" }).waitFor();
    await page.getByText("No domain yet").waitFor();
    assert.ok(!page.url().includes("token"));

    await page.getByLabel("Name", { exact: true }).fill("board");
    await page.getByLabel("Teach class folders on the device").setInputFiles(pathOf("images"));
    await says(page, /All images are sent/);
    await page.reload();
    await page.locator("#device-words").filter({ hasText: /board is learned/ }).waitFor();
    const card = page.locator("#device-domains article");
    assert.match((await card.textContent())!, new RegExp(wanted.classes.join(", ")));

    await page.getByLabel("Try board on the device").setInputFiles(pathOf("images/green/3.png"));
    await page.locator("#device-tried").filter({ hasText: "%" }).waitFor();
    const downloading = page.waitForEvent("download");
    await card.getByRole("link", { name: "Download" }).click();
    await (await downloading).saveAs(pathOf("from_device.safetensors"));
    await isAccessible(page, "#device");
  });
});
