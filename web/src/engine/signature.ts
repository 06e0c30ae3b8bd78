// A domain's signature, by which an image is known to belong to it, or not to; addapt.domains.signature
// does the same.

import { Refusal } from "./description";
import { distanceFrom, relative, type Plane, type Spread } from "./plane";
import { bytesOf, sha256, type Tensor, type Tensors } from "./safetensors";

const PREFIX = "signature.";
const PLANES = ["look", "answer"] as const;
const PARTS = { centre: "F16", axes: "I8", scales: "F32" } as const;
const COUNT_LIMIT = 2 ** 31;

export interface Signature {
  look_px: number;
  look: Plane; // of the frozen features of small images
  answer: Plane; // of the adapted features
  spread: Spread; // of the domain's own images from the plane of the answer
}

/** Return how far an image's adapted features are off: 0 is usual and 1 the limit. */
export function relativeDistance({ answer, spread }: Signature, features: Float32Array): number {
  return relative(spread, distanceFrom(answer, features));
}

export function isOfSignature(name: string): boolean {
  return PLANES.some((plane) => Object.keys(PARTS).some((part) => name === `${PREFIX}${plane}.${part}`));
}

export function signatureTensors(signature: Signature): Tensors {
  const tensors: Tensors = new Map();
  for (const name of PLANES) {
    const { centre, scales } = signature[name];
    const shapes = { centre: [centre.length], axes: [scales.length, centre.length], scales: [scales.length] };
    for (const part of ["centre", "axes", "scales"] as const)
      tensors.set(`${PREFIX}${name}.${part}`, {
        dtype: PARTS[part],
        shape: shapes[part],
        values: signature[name][part],
      });
  }
  return tensors;
}

/** Return what the description of the domain says of it, the tensors' hash included. */
export async function signatureFields(signature: Signature): Promise<Record<string, unknown>> {
  const { look_px, spread } = signature;
  return { look_px, spread, sha256: await hash(signatureTensors(signature)) };
}

/**
 * Put together what a file says of its signature and the tensors of it; undefined if it has
 * none.
 *
 * `width` is how many features the network has.
 */
export async function readSignature(
  fields: Record<string, unknown>,
  tensors: Tensors,
  width: number,
): Promise<Signature | undefined> {
  if (!Object.keys(fields).length) return undefined;
  const { look_px, spread, sha256: written, ...more } = fields;
  if (Object.keys(more).length || !isCount(look_px) || !isSpread(spread)) throw damaged("it makes no sense");
  if (tensors.size !== PLANES.length * Object.keys(PARTS).length) throw damaged("tensors of it are missing");
  if (written !== (await hash(tensors))) throw damaged("it is not the one that was written");
  const part = (plane: string, name: keyof typeof PARTS): Tensor => {
    const tensor = tensors.get(`${PREFIX}${plane}.${name}`)!;
    if (tensor.dtype !== PARTS[name]) throw damaged("a tensor of it has another type");
    return tensor;
  };
  const planeOf = (name: string): Plane => {
    const [centre, axes, scales] = [part(name, "centre"), part(name, "axes"), part(name, "scales")];
    const count = scales.values.length;
    const shapes = [centre, axes, scales].map(({ shape }) => shape.join());
    if (shapes.join(";") !== `${width};${count},${width};${count}`)
      throw damaged("its tensors do not fit together, or not to the network");
    return {
      centre: centre.values as Float32Array,
      axes: axes.values as Int8Array,
      scales: scales.values as Float32Array,
    };
  };
  return { look_px, look: planeOf("look"), answer: planeOf("answer"), spread };
}

function isSpread(value: unknown): value is Spread {
  if (typeof value !== "object" || value === null) return false;
  if (Object.keys(value).sort().join() !== "deviation,images,mean") return false;
  const { mean, deviation, images } = value as Spread;
  return isCount(images) && Number.isFinite(mean) && Number.isFinite(deviation) && deviation > 0;
}

function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) > 0 && (value as number) < COUNT_LIMIT;
}

/** Hash the tensors of a signature by names, shapes and bytes. */
export async function hash(tensors: Tensors): Promise<string> {
  const parts: Uint8Array[] = [];
  for (const name of [...tensors.keys()].sort()) {
    const { shape } = tensors.get(name)!;
    const tuple = shape.length === 1 ? `(${shape[0]},)` : `(${shape.join(", ")})`; // as Python writes it
    parts.push(new TextEncoder().encode(`${name} ${tuple}\n`), bytesOf(tensors.get(name)!));
  }
  return sha256(new Uint8Array(await new Blob(parts as BlobPart[]).arrayBuffer()));
}

function damaged(reason: string): Refusal {
  return new Refusal(`The file's signature is damaged, ${reason}: take it from a copy.`);
}
