// A domain as one ONNX file with the frozen network inside, as `addapt export` writes it.

import { graphsOf, Refusal, type Description } from "./description";
import type { Domain } from "./domain_file";
import { IMAGES, Model, parametersOf, pixels, rows, splitVector, type ReadFile } from "./model";
import { completed, type Constant } from "./onnx_file";
import { limitOf, relativeBar } from "./plane";
import { Session } from "./runtime";
import { softmax } from "./scores";
import { relativeDistance, type Signature } from "./signature";

// Names in the template, as in addapt.engines.onnx.step and addapt.engines.onnx.distance.
const [PROBABILITIES, DISTANCE] = ["probabilities", "distance"];
const SIGNATURE = "signature.";

const TOLD_SHARES = [0.9, 0.95, 0.99] as const;
const COMPARED_IMAGES = 3;
const LARGEST_DIFFERENCE = 1e-4; // of probabilities
const LARGEST_DISTANCE_ERROR = 1e-3;

/** Return the file's content, after it was compared with the domain. */
export async function exportOnnx(
  description: Description,
  read: ReadFile,
  name: string,
  domain: Domain,
): Promise<Blob> {
  const { signature, info } = domain;
  const graphs = graphsOf(description, info.image_px);
  const template = await read(signature ? graphs.signed_template : graphs.template);
  const constants = [...(await frozen(description, read)), ...trained(description, domain)];
  if (signature) constants.push(...ofSignature(signature));
  const file = completed(template, constants, words(description, name, domain), texts(description, name, domain));
  await compare(description, read, domain, file);
  return new Blob([file as BlobPart]);
}

async function frozen({ graphs }: Description, read: ReadFile): Promise<Constant[]> {
  const weights = await read(graphs.weights);
  return graphs.places.map(([name, shape, offset]) => {
    const length = Float32Array.BYTES_PER_ELEMENT * shape.reduce((total, side) => total * side, 1);
    return { name, shape, bytes: weights.subarray(offset, offset + length) };
  });
}

function trained(description: Description, { info, values }: Domain): Constant[] {
  const arrays = splitVector(parametersOf(description, info.classes.length), values);
  return [...arrays].map(([name, array]) => constant(name, array.shape, array.values));
}

function ofSignature({ answer, spread }: Signature): Constant[] {
  const { centre, axes, scales } = answer;
  const width = centre.length;
  const count = Math.max(scales.length, 1); // an axis of zeros where there is none
  const scaled = new Float32Array(count * width);
  axes.forEach((value, place) => (scaled[place] = value * scales[Math.floor(place / width)]!));
  return [
    constant(`${SIGNATURE}centre`, [width], centre),
    constant(`${SIGNATURE}axes`, [count, width], scaled),
    constant(`${SIGNATURE}mean`, [], Float32Array.of(spread.mean)),
    constant(`${SIGNATURE}scale`, [], Float32Array.of(spread.deviation * limitOf(spread))),
  ];
}

function constant(name: string, shape: number[], values: Float32Array): Constant {
  return { name, shape, bytes: new Uint8Array(values.slice().buffer) };
}

function words({ exported }: Description, name: string, { info, signature }: Domain): string {
  const filled: Record<string, string> = {
    domain: name,
    px: String(info.image_px),
    classes: String(info.classes.length),
    resizing: exported.resizing,
  };
  const said = exported.words + (signature ? exported.distance_words : "");
  return said.replace(/\{(\w+)\}/g, (_, word: string) => filled[word]!);
}

function texts(description: Description, name: string, { info, signature }: Domain): Record<string, string> {
  const { exported, versions } = description;
  const found: Record<string, string> = {
    domain: name,
    classes: JSON.stringify(info.classes),
    image_px: String(info.image_px),
    interpolation: info.interpolation,
    resizing: exported.whole,
    value_range: JSON.stringify(info.value_range),
    scaling: exported.scaling,
    method: info.method,
    backbone: info.backbone,
    weights_sha256: info.weights_sha256,
    val_accuracy: String(info.val_accuracy),
    learned: info.date,
    created: new Date().toISOString().replace(/\.\d+Z$/, "+00:00"),
    addapt_version: versions["addapt"]!,
  };
  if (signature) {
    const bars = TOLD_SHARES.map((share) => [String(share), relativeBar(signature.spread, share)]);
    found["distance_limits"] = JSON.stringify(Object.fromEntries(bars));
  }
  return found;
}

/** Refuse a file that computes something else than the domain, by images that look like noise. */
async function compare(description: Description, read: ReadFile, domain: Domain, file: Uint8Array): Promise<void> {
  const { info, values, signature } = domain;
  const size = info.image_px ** 2 * 3;
  const images = Array.from({ length: COMPARED_IMAGES }, (_, number) =>
    Uint8Array.from({ length: size }, (_, i) => (i * i * (number + 7)) % 251),
  );
  const model = new Model(description, read, info.image_px, info.classes.length, values);
  const wanted = await model.answers(images).finally(() => model.rest());
  const session = await Session.create(file);
  try {
    for (const [place, { logits, features }] of wanted.entries()) {
      const outputs = [PROBABILITIES!, ...(signature ? [DISTANCE!] : [])];
      const inputs = { [IMAGES!]: pixels([images[place]!], info.image_px) };
      const said = await session.run(inputs, outputs);
      const [probabilities] = rows(said[PROBABILITIES!]!, 1);
      const expected = softmax(logits);
      let isSame = expected.every((p, i) => Math.abs(p - probabilities![i]!) <= LARGEST_DIFFERENCE);
      if (signature) {
        const off = Math.abs(said[DISTANCE!]![0]! - relativeDistance(signature, features));
        isSame &&= off <= LARGEST_DISTANCE_ERROR;
      }
      if (!isSame)
        throw new Refusal("The ONNX file was not saved, as it computes something else than the domain: update this page.");
    }
  } finally {
    await session.release();
  }
}
