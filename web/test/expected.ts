// What the shell's code computed, for the tests; tests/web/expected.py writes it.

import { strict as assert } from "node:assert";
import { readFileSync } from "node:fs";
import { join } from "node:path";

const folder = process.env["ADDAPT_EXPECTED"];
if (!folder) throw new Error("ADDAPT_EXPECTED names no folder: run these tests by pytest tests/web");

export function pathOf(name: string): string {
  return join(folder!, name);
}

export function expected(subject: string): any {
  return JSON.parse(readFileSync(pathOf(`${subject}.json`), "utf8"));
}

/** Assert that numbers differ by no more than a share of the largest, or of 1. */
export function assertNear(found: ArrayLike<number>, wanted: ArrayLike<number>, share: number): void {
  assert.equal(found.length, wanted.length);
  let largest = 1;
  for (let i = 0; i < wanted.length; i++) largest = Math.max(largest, Math.abs(wanted[i]!));
  for (let i = 0; i < wanted.length; i++) {
    const difference = Math.abs(found[i]! - wanted[i]!);
    assert.ok(difference <= share * largest, `${i}: ${found[i]} instead of ${wanted[i]}`);
  }
}
