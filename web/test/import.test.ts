// The one journey through a real browser that every run of the tests makes.

import { test } from "node:test";
import { isAccessible, onPage, saysWhatTheShellSays } from "./visit";

test("a domain of the shell says the same in the page", async () => {
  await onPage(async (page) => {
    await isAccessible(page); // as it is at first: what needs a domain is disabled
    await saysWhatTheShellSays(page);
    await isAccessible(page);
  });
});
