import { strict as assert } from "node:assert";
import { readFile, writeFile } from "node:fs/promises";
import { before, test } from "node:test";
import type { Description } from "../src/engine/description";
import {
  describeDomain,
  heldOutOf,
  readDomain,
  writeDomain,
  type Domain,
} from "../src/engine/domain_file";
import { jobFor, type Job } from "../src/engine/job";
import { Learning, newState, type LearningState } from "../src/engine/learning";
import { makeLesson, type Lesson } from "../src/engine/lesson";
import { Look } from "../src/engine/look";
import { Model, firstValues, parametersOf, splitVector } from "../src/engine/model";
import { distanceFrom } from "../src/engine/plane";
import { prepareRuntime } from "../src/engine/runtime";
import { asciiJson, seal, unseal, type Tensors } from "../src/engine/safetensors";
import { softmax } from "../src/engine/scores";
import { hash, isOfSignature, relativeDistance, signatureFields, type Signature } from "../src/engine/signature";
import { sign } from "../src/engine/signing";
import { assertNear, expected, pathOf } from "./expected";

const read = async (name: string): Promise<Uint8Array> => new Uint8Array(await readFile(pathOf(name)));
const description: Description = expected("page");
const wanted = expected("lesson");
const classes: string[] = wanted.classes;
const images: Uint8Array[] = wanted.images.map((image: number[]) => Uint8Array.from(image));

let lesson: Lesson;
let job: Job;

before(() => {
  prepareRuntime(undefined);
  lesson = makeLesson(
    { images, labels: wanted.labels },
    classes,
    description.recipe.val_fraction,
    description.seed,
  );
  job = jobFor(description, lesson, classes.length, false);
});

async function begin(state?: LearningState): Promise<{ learning: Learning; model: Model }> {
  const start = state ?? newState(await firstValues(description, classes.length, read));
  const model = new Model(description, read, wanted.px, classes.length, start.values);
  const learning = new Learning(model, description.recipe, job, lesson, start);
  await learning.prepare();
  return { learning, model };
}

/** Return the shell's domain as the page reads it. */
async function ofTheShell(): Promise<Domain> {
  return readDomain(description, await read("store/colours.safetensors"));
}

test("the same images are held out", async () => {
  const { info } = await ofTheShell();
  assert.deepEqual([...heldOutOf(info)].sort(), [...lesson.heldOut].sort());
  assert.equal(lesson.val.images.length, info.val_images);
  assert.equal(lesson.train.images.length, info.train_images);
});

test("learning gives the same domain, stopped in between or not", async () => {
  const domain = await ofTheShell();
  for (const stopped of [false, true]) {
    let { learning, model } = await begin();
    while (!learning.isOver) {
      await learning.advance();
      if (stopped && learning.step === 3) {
        const state = structuredClone(learning.capture());
        await model.rest();
        ({ learning, model } = await begin(state));
      }
    }
    const learned = await learning.finish(description.signature.held_out_images);
    const look = new Look(description, read);
    const signature = await sign(description, model, look, lesson.train.images, learned.heldOut);
    assert.equal(learning.history.length, wanted.history.length);
    learning.history.forEach((record, i) => {
      const shell = wanted.history[i];
      assertNear(
        [record.train_loss, record.val_loss, record.val_accuracy, record.val_balanced_accuracy],
        [shell.train_loss, shell.val_loss, shell.val_accuracy, shell.val_balanced_accuracy],
        1e-4,
      );
      assert.equal(record.weakest_class, shell.weakest_class);
    });
    assertNear(learned.values, domain.values, 1e-4);
    const { temperature, calibration_error: error } = wanted.info.val_report;
    assertNear([learned.temperature, learned.error], [temperature, error], 1e-4);
    assertSigned(signature, domain.signature!, learned.heldOut);
    if (stopped) continue;
    const info = describeDomain(
      description,
      classes,
      wanted.px,
      job,
      lesson,
      learning.history.length,
      learned,
      new Set(),
      await signatureFields(signature),
    );
    const taught = { info, values: learned.values, signature };
    const file = await writeDomain(description, taught);
    await writeFile(pathOf("taught.safetensors"), file);
    const again = await readDomain(description, file);
    assert.deepEqual(again, taught);
    for (const name of ["classes", "train_images", "val_images", "epochs", "hyperparameters"])
      assert.deepEqual((info as never)[name], wanted.info[name], name);
    assert.deepEqual(info.options["held_out"], wanted.info.options.held_out);
  }
});

test("what was learned and not yet signed goes on to the same domain", async () => {
  const first = await begin();
  while (!first.learning.isOver) await first.learning.advance();
  const state = structuredClone(first.learning.capture());
  const mostHeldOut = description.signature.held_out_images;
  const learned = await first.learning.finish(mostHeldOut);
  let told = 0;
  const broken = sign(description, first.model, new Look(description, read), lesson.train.images, learned.heldOut, () => {
    told++;
    return Promise.reject(new Error("paused"));
  });
  await assert.rejects(broken, /paused/);
  assert.equal(told, 1);
  await first.model.rest();

  const { learning } = await begin(state);
  assert.ok(learning.isOver);
  assert.deepEqual((await learning.finish(mostHeldOut)).values, learned.values);
});

function assertSigned(found: Signature, wantedOne: Signature, features: Float32Array[]): void {
  assert.equal(found.look_px, wantedOne.look_px);
  const { mean, deviation, images: heldOut } = wantedOne.spread;
  assert.equal(found.spread.images, heldOut);
  assertNear([found.spread.mean, found.spread.deviation], [mean, deviation], 1e-3);
  for (const plane of ["look", "answer"] as const) {
    const of = (signature: Signature): number[] =>
      features.map((row) => distanceFrom(signature[plane], row));
    assertNear(of(found), of(wantedOne), 1e-3);
  }
}

test("a signature of the shell is written as it was read, and told apart from a wrong one", async () => {
  const file = await read("store/colours.safetensors");
  const domain = await readDomain(description, file);
  assert.deepEqual(await signatureFields(domain.signature!), domain.info.signature);
  const { text, tensors } = await unseal(file);
  assert.deepEqual((await unseal(await writeDomain(description, domain))).tensors, tensors);

  const refused = async (info: object, changed: Tensors, message: RegExp): Promise<void> => {
    const sealed = await seal(JSON.stringify({ ...JSON.parse(text), ...info }), changed);
    await assert.rejects(readDomain(description, sealed), { name: "Refusal", message });
  };
  const { signature } = domain.info;
  const spread = signature["spread"] as object;
  await refused({ signature: { ...signature, sha256: "00" } }, tensors, /not the one that was written/);
  await refused({ signature: { ...signature, look_px: 0 } }, tensors, /makes no sense/);
  await refused({ signature: { ...signature, more: 1 } }, tensors, /makes no sense/);
  await refused({ signature: { ...signature, spread: { ...spread, deviation: 0 } } }, tensors, /makes no sense/);
  await refused({ signature: { ...signature, spread: { ...spread, images: 0.5 } } }, tensors, /makes no sense/);
  const name = "signature.answer.scales";
  const fewer = new Map(tensors);
  fewer.delete(name);
  await refused({}, fewer, /are missing/);
  for (const [values, message] of [
    [Float32Array.of(NaN), /infinite or not a number/],
    [Float32Array.of(1), /do not fit/],
  ] as [Float32Array, RegExp][]) {
    const changed: Tensors = new Map([...tensors, [name, { dtype: "F32", shape: [1], values }]]);
    const signing: Tensors = new Map([...changed].filter(([each]) => isOfSignature(each)));
    await refused({ signature: { ...signature, sha256: await hash(signing) } }, changed, message);
  }
  const none = await seal(JSON.stringify({ ...JSON.parse(text), signature: {} }), tensors);
  assert.equal((await readDomain(description, none)).signature, undefined);
});

test("a domain of the shell says the same here", async () => {
  const domain = await ofTheShell();
  const model = new Model(description, read, wanted.px, classes.length, domain.values);
  const said = await model.answers(images);
  said.forEach(({ logits }, i) => assertNear(softmax(logits), wanted.probabilities[i], 1e-4));
  const distances = said.map(({ features }) => relativeDistance(domain.signature!, features));
  assertNear(distances, wanted.distances, 1e-3);
  const arrays = splitVector(parametersOf(description, classes.length), domain.values);
  for (const [name, { values }] of arrays) assert.deepEqual([...values], wanted.tensors[name], name);
});

test("texts are escaped as the shell's checksum has them", () => {
  for (const { text, json } of expected("texts")) assert.equal(asciiJson(text), json);
});

test("files that are damaged, of others, or hostile are refused", async () => {
  const file = await read("store/colours.safetensors");
  const length = new DataView(file.buffer, file.byteOffset).getUint32(0, true);
  const refusedBy = async (changed: Uint8Array, message: RegExp): Promise<void> =>
    assert.rejects(readDomain(description, changed), { name: "Refusal", message });
  const edited = (edit: (header: string) => string): Uint8Array => {
    const header = new TextEncoder().encode(edit(new TextDecoder().decode(file.slice(8, 8 + length))));
    const changed = new Uint8Array(8 + header.length + file.length - 8 - length);
    new DataView(changed.buffer).setUint32(0, header.length, true);
    changed.set(header, 8);
    changed.set(file.subarray(8 + length), 8 + header.length);
    return changed;
  };
  await refusedBy(new Uint8Array(0), /not a domain/);
  await refusedBy(new Uint8Array(8).fill(255), /not a domain/);
  await refusedBy(new TextEncoder().encode("GIF89a and more"), /not a domain/);
  await refusedBy(file.slice(0, -1), /cut off/);
  const flipped = file.slice();
  flipped[flipped.length - 5]! ^= 1;
  await refusedBy(flipped, /checksum/);
  await refusedBy(edited((header) => header.replace('"F32"', '"F64"')), /type is unknown/);
  await refusedBy(edited((header) => header.replace(/"shape":\[\d+/, '"shape":[9e15')), /size|agree/);
  await refusedBy(edited((header) => header.replace('"shape":', '"form":')), /lacks/);
  await refusedBy(edited((header) => header.replace('\\"red\\"', '\\"rot\\"')), /checksum/);
  await refusedBy(edited(() => '{"__metadata__":{"addapt":"{}"}}'), /cut off/);
});

test("domains that the page cannot use are refused by what is wrong with them", async () => {
  const { info, values, signature } = await ofTheShell();
  const refusals: [object, RegExp][] = [
    [{ schema: 11 }, /newer addapt/],
    [{ schema: 3 }, /older addapt/],
    [{ backbone: "resnet50" }, /another network, “resnet50”/],
    [{ weights_sha256: "00" }, /another network/],
    [{ method: "bias" }, /method “bias”/],
    [{ hyperparameters: { width: 1 } }, /other settings/],
    [{ gates: { kind: "static" } }, /gates/],
    [{ value_range: [0, 4095] }, /more than 8 bits/],
    [{ image_px: 64 }, /graphs for 32 px only/],
    [{ classes: ["a", "a", "b"] }, /twice/],
    [{ classes: [1, 2, 3] }, /“classes”/],
    [{ classes: ["a", "b", "x".repeat(256)] }, /255 characters/],
    [{ train_images: "many" }, /“train_images”/],
    [{ options: [] }, /“options”/],
  ];
  for (const [change, message] of refusals) {
    const file = await writeDomain(description, { info: { ...info, ...change }, values, signature });
    await assert.rejects(readDomain(description, file), { name: "Refusal", message });
  }
  const fewer = await writeDomain(description, {
    info: { ...info, classes: ["a", "b"] },
    values: values.slice(0, values.length - description.backbone.features - 1),
    signature,
  });
  assert.equal((await readDomain(description, fewer)).info.classes.length, 2);
  const infinite = values.slice();
  infinite[3] = Infinity;
  const file = await writeDomain(description, { info, values: infinite, signature });
  await assert.rejects(readDomain(description, file), { message: /infinite/ });
});

test("a lesson needs two different images of each class, and none in two classes", () => {
  const [a, b, c, d] = [1, 2, 3, 4].map((byte) => Uint8Array.of(byte));
  const make = (some: (Uint8Array | undefined)[], labels: number[], before?: Set<number>): Lesson =>
    makeLesson({ images: some as Uint8Array[], labels }, ["x", "y"], 0.1, 0, before);
  assert.throws(() => make([a, b, c], [0, 0, 1]), /“y” has a single image/);
  assert.throws(() => make([a, a, b, c], [0, 0, 1, 1]), /“x” has a single image/);
  assert.throws(() => make([a, b, a, c], [0, 0, 1, 1]), /“x” has a single image/);
  const five = make([a, b, c, d, Uint8Array.of(5), a], [0, 0, 0, 1, 1, 1]);
  assert.match(five.warnings.join(), /2 images lie in two classes/);
  assert.equal(five.train.images.length + five.val.images.length, 4);
  const again = make([a, b, c, d], [0, 0, 1, 1], new Set(make([a, b, c, d], [0, 0, 1, 1]).heldOut));
  assert.deepEqual(again.heldOut, make([a, b, c, d], [0, 0, 1, 1]).heldOut);
});
