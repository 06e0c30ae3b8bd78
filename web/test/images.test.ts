import { strict as assert } from "node:assert";
import { test } from "node:test";
import { crc32, firstOfCopies } from "../src/engine/copies";
import { resizeToSquare } from "../src/engine/resize";
import { vary } from "../src/engine/vary";
import { expected } from "./expected";

test("images are resized as Pillow does it, to the last bit", () => {
  for (const { width, height, px, interpolation, pixels, resized } of expected("resize")) {
    const rgba = new Uint8Array(width * height * 4).fill(255);
    for (let i = 0; i < width * height; i++) rgba.set(pixels.slice(3 * i, 3 * i + 3), 4 * i);
    const found = resizeToSquare(rgba, width, height, px, interpolation);
    assert.deepEqual([...found], resized, `${width} x ${height} to ${px}, ${interpolation}`);
  }
});

test("images are varied as the shell does it", () => {
  for (const { px, augmentation, image, draws, varied } of expected("vary")) {
    const found = vary(Uint8Array.from(image), px, augmentation, Float32Array.from(draws));
    const differences = [...found].map((value, i) => Math.abs(value - varied[i]));
    assert.ok(Math.max(...differences) <= 1);
    // The shell adds up in 32 bits, so that its mean may be another in the last place.
    assert.ok(differences.filter(Boolean).length <= found.length / 1000);
  }
});

test("copies are found by what they show", () => {
  assert.equal(crc32(new TextEncoder().encode("123456789")), 0xcbf43926);
  const images = [[1, 2], [3, 4], [1, 2], [3, 4], [1, 3]].map((image) => Uint8Array.from(image));
  assert.deepEqual(firstOfCopies(images, images.map(crc32)), [0, 1, 0, 1, 4]);
  assert.deepEqual(firstOfCopies(images, [7, 7, 7, 7, 7]), [0, 1, 0, 1, 4]); // one checksum for all
});
