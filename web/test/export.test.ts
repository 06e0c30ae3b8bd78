import { strict as assert } from "node:assert";
import { readFile, writeFile } from "node:fs/promises";
import { before, test } from "node:test";
import type { Description } from "../src/engine/description";
import { readDomain, type Domain } from "../src/engine/domain_file";
import { exportOnnx } from "../src/engine/exporting";
import { completed } from "../src/engine/onnx_file";
import { prepareRuntime } from "../src/engine/runtime";
import { expected, pathOf } from "./expected";

const read = async (name: string): Promise<Uint8Array> => new Uint8Array(await readFile(pathOf(name)));
const description: Description = expected("page");
const name = "colours";

let domain: Domain;

before(async () => {
  prepareRuntime(undefined);
  domain = await readDomain(description, await read(`store/${name}.safetensors`));
});

test("a domain becomes one file, with and without a signature", async () => {
  for (const [file, signature] of [["signed", domain.signature!], ["unsigned", undefined]] as const) {
    const content = await exportOnnx(description, read, name, { ...domain, signature });
    await writeFile(pathOf(`${file}.onnx`), new Uint8Array(await content.arrayBuffer()));
  }
});

test("a signature of few images has no axes", async () => {
  const answer = { ...domain.signature!.answer, axes: new Int8Array(0), scales: new Float32Array(0) };
  const few = { ...domain, signature: { ...domain.signature!, answer } };
  assert.ok((await exportOnnx(description, read, name, few)).size > 10_000_000);
});

test("a file that computes something else is not given out", async () => {
  const { graphs } = description;
  const [first, second] = [graphs.places[1]!, graphs.places[3]!]; // two biases
  const places = graphs.places.map((place) => (place === first ? [place[0], place[1], second[2]] : place));
  const wrong = { ...description, graphs: { ...graphs, places } } as Description;
  await assert.rejects(exportOnnx(wrong, read, name, domain), { name: "Refusal", message: /something else/ });
});

test("a damaged template is refused", () => {
  for (const bytes of [[0x3a, 9, 1], [0x3a], [0x3d, 1, 1, 1, 1], [0x3a, 255, 255]])
    assert.throws(() => completed(Uint8Array.from(bytes), [], "", {}), { name: "Refusal", message: /damaged/ });
});
