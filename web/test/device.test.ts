// The domains of a device, through the page in a real browser; tests/web/test_web_device.py serves it.

import { strict as assert } from "node:assert";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { test } from "node:test";
import { chromium } from "playwright-core";
import { expected, pathOf } from "./expected";

const wanted = expected("lesson");
const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

test("a device is taught from class folders, found again after a reload, tried and downloaded", async () => {
  const browser = await chromium.launch({
    executablePath: process.env["ADDAPT_CHROMIUM"]!,
    args: ["--no-sandbox"],
  });
  try {
    const page = await browser.newPage({ acceptDownloads: true });
    const problems: string[] = [];
    page.on("pageerror", (error) => problems.push(String(error)));
    page.on("console", (message) => {
      if (message.type() === "error") problems.push(message.text());
    });
    page.setDefaultTimeout(120_000);
    await page.goto(process.env["ADDAPT_PAGE"]!); // with its token
    await page.getByRole("heading", { name: "On the device" }).waitFor();
    await page.getByText("No domain yet").waitFor();
    assert.ok(!page.url().includes("token"));

    await page.getByLabel("Name").fill("board");
    await page.getByLabel("Teach class folders on the device").setInputFiles(pathOf("images"));
    await page.locator("#message").filter({ hasText: "All images are sent" }).waitFor();
    await page.reload();
    await page.locator("#device-words").filter({ hasText: /board is learned/ }).waitFor();
    const card = page.locator("#device-domains article");
    assert.match((await card.textContent())!, new RegExp(wanted.classes.join(", ")));

    await page.getByLabel("Try board on the device").setInputFiles(pathOf("images/green/3.png"));
    await page.locator("#device-tried").filter({ hasText: "%" }).waitFor();
    const downloading = page.waitForEvent("download");
    await card.getByRole("link", { name: "Download" }).click();
    await (await downloading).saveAs(pathOf("from_device.safetensors"));
    await page.evaluate(axe);
    const violations = await page.evaluate(async () => {
      const run = (globalThis as unknown as { axe: { run(where: string): Promise<{ violations: object[] }> } }).axe;
      return (await run.run("#device")).violations;
    });
    assert.deepEqual([violations, problems], [[], []]);
  } finally {
    await browser.close();
  }
});
