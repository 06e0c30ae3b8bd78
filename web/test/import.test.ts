// The one journey through a real browser that every run of the tests makes.

import { strict as assert } from "node:assert";
import { test } from "node:test";
import { expected, pathOf } from "./expected";
import { isAccessible, onPage, saysWhatTheShellSays } from "./visit";

test("a domain of the shell says the same in the page", async () => {
  await onPage(async (page) => {
    await isAccessible(page); // as it is at first: what needs a domain is disabled
    await saysWhatTheShellSays(page);
    const { foreign } = expected("lesson");
    assert.ok(foreign > 1);
    await page.getByLabel("Try with files").setInputFiles(pathOf("foreign.png"));
    await page.locator(".tried strong").filter({ hasText: "none of these" }).waitFor();
    await page.getByText(`${foreign.toFixed(1)} off: 1 is the limit`).waitFor();
    await isAccessible(page);
  });
});
