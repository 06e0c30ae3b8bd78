import { strict as assert } from "node:assert";
import { test } from "node:test";
import { zipSync } from "fflate";
import { checkShown, folderOf, likelyImages, safeFolder, unreadable, unzipped, zipOf } from "../src/page/files";

test("images are packed by class, and come back", async () => {
  const images = ["rose", "tulip", "rose"].map((folder, i) => ({
    folder,
    file: new Blob([`image ${i}`], { type: i ? "image/jpeg" : "image/png" }),
  }));
  const found = await unzipped(await zipOf(images));
  assert.deepEqual(
    found.map(({ folder, name }) => `${folder}/${name}`),
    ["rose/00001.png", "tulip/00002.jpg", "rose/00003.jpg"],
  );
  assert.equal(await found[2]!.file.text(), "image 2");
});

test("a stranger's zip is bounded, and only its images are unpacked", async () => {
  const bomb = zipSync({ "a/zeros.png": new Uint8Array(5_000_000), "a/notes.txt": new Uint8Array(9) });
  assert.ok(bomb.length < 20_000);
  assert.equal((await unzipped(new Blob([bomb]))).length, 1);
  await assert.rejects(unzipped(new Blob([bomb]), 1_000_000), { message: /unpacks to more/ });
  const damaged = zipSync({ "a/x.png": new TextEncoder().encode("abc ".repeat(99)) });
  damaged.fill(255, 45, 55);
  await assert.rejects(unzipped(new Blob([damaged])), { message: /damaged/ });
  assert.deepEqual(await unzipped(new Blob(["no zip at all"])), []);
});

test("more classes than a page can show are refused", () => {
  checkShown(500);
  assert.throws(() => checkShown(501), { message: /501 classes.*500 at most/ });
});

test("names say what a file is", () => {
  assert.deepEqual(["photos/rose/1.jpg", "rose/1.jpg", "1.jpg", ""].map(folderOf), ["rose", "rose", "", ""]);
  assert.equal(safeFolder('a/b:c"*?.'), "a_b_c____");
  assert.deepEqual(["..", "", "rose. "].map(safeFolder), ["_", "_", "rose_"]);
  const given = [".hidden.png", "a.HEIC", "Thumbs.db", "b.jpeg"].map((name) => ({
    file: new Blob(),
    name,
    folder: "",
  }));
  assert.deepEqual(likelyImages(given).images.map(({ name }) => name), ["a.HEIC", "b.jpeg"]);
  assert.match(unreadable(["a.heic", "b.png"]), /a\.heic and 1 more\. .*HEIC/);
});
