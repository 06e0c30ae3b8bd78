// Tensors and a text in one safetensors file, sealed with a checksum of both, as addapt.domains
// has them. All that a header claims is checked before anything is made of it.

import { getFloat16, setFloat16 } from "@petamoriken/float16";
import { Refusal } from "./description";

const HEADER_LIMIT = 1_000_000; // bytes
const LENGTH_BYTES = 8;
const METADATA = "__metadata__";
const KEY = "addapt"; // of the description among the texts
const ALIGNMENT = 8;

/** Numbers of a file. Those of 16-bit floats are computed with as 32-bit floats. */
export interface Tensor {
  dtype: "F32" | "F16" | "I8";
  shape: number[];
  values: Float32Array | Int8Array;
}

export type Tensors = Map<string, Tensor>;

// Types that a file may have: their names in numpy, by which they are hashed, and bytes.
const TYPES: Record<Tensor["dtype"], [string, number]> = {
  F32: ["float32", 4],
  F16: ["float16", 2],
  I8: ["int8", 1],
};

interface Place {
  dtype: Tensor["dtype"];
  shape: number[];
  start: number;
  end: number;
}

/** Return the content of a file: the same inputs give the same bytes. */
export async function seal(text: string, tensors: Tensors): Promise<Uint8Array> {
  const places = new Map<string, Place>();
  const sizeOf = (name: string): number => TYPES[tensors.get(name)!.dtype][1];
  // Those of large elements first, so that each lies aligned.
  const names = [...tensors.keys()].sort().sort((a, b) => sizeOf(b) - sizeOf(a));
  const data = names.map((name) => bytesOf(tensors.get(name)!));
  let end = 0;
  names.forEach((name, place) => {
    const { dtype, shape } = tensors.get(name)!;
    const start = end;
    end += data[place]!.length;
    places.set(name, { dtype, shape, start, end });
  });
  const dataBytes = new Uint8Array(end);
  names.forEach((name, place) => dataBytes.set(data[place]!, places.get(name)!.start));
  const texts = { [KEY]: text, format: "pt", sha256: await checksum(text, places, dataBytes) };
  const entries: Record<string, unknown> = { [METADATA]: texts };
  for (const [name, { dtype, shape, start, end }] of places)
    entries[name] = { dtype, shape, data_offsets: [start, end] };
  let header = new TextEncoder().encode(JSON.stringify(entries));
  const padded = new Uint8Array(Math.ceil(header.length / ALIGNMENT) * ALIGNMENT).fill(0x20);
  padded.set(header);
  header = padded;
  if (LENGTH_BYTES + header.length > HEADER_LIMIT)
    throw new Refusal("The names of the classes are too long for a file: use fewer, or shorter ones.");
  const file = new Uint8Array(LENGTH_BYTES + header.length + dataBytes.length);
  new DataView(file.buffer).setBigUint64(0, BigInt(header.length), true);
  file.set(header, LENGTH_BYTES);
  file.set(dataBytes, LENGTH_BYTES + header.length);
  return file;
}

/** Read a file's text and tensors, which must be finite, and what was written. */
export async function unseal(file: Uint8Array): Promise<{ text: string; tensors: Tensors }> {
  const view = new DataView(file.buffer, file.byteOffset, file.byteLength);
  const length = file.length >= LENGTH_BYTES ? Number(view.getBigUint64(0, true)) : Infinity;
  const start = LENGTH_BYTES + length;
  if (length > HEADER_LIMIT || start > file.length) throw noDomain();
  const header = parse(file.subarray(LENGTH_BYTES, start));
  const { [METADATA]: texts, ...entries } = header;
  if (!isTable(texts) || typeof texts[KEY] !== "string") throw noDomain();
  const places = new Map<string, Place>();
  for (const [name, entry] of Object.entries(entries)) places.set(name, placeOf(entry));
  const data = file.subarray(start);
  checkOrder([...places.values()], data.length);
  if (texts["sha256"] !== (await checksum(texts[KEY], places, data)))
    throw damaged("its checksum is missing or wrong");
  const tensors: Tensors = new Map();
  for (const [name, { dtype, shape, start, end }] of places) {
    const values = valuesOf(dtype, data.slice(start, end));
    if (!values.every(Number.isFinite))
      throw damaged(`tensor “${name}” holds values that are infinite or not a number`);
    tensors.set(name, { dtype, shape, values });
  }
  return { text: texts[KEY], tensors };
}

/** Return the bytes of a tensor as files have them. */
export function bytesOf({ dtype, values }: Tensor): Uint8Array {
  if (dtype !== "F16") return new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
  const halves = new DataView(new ArrayBuffer(2 * values.length));
  values.forEach((value, place) => setFloat16(halves, 2 * place, value, true));
  return new Uint8Array(halves.buffer);
}

function valuesOf(dtype: Tensor["dtype"], bytes: Uint8Array): Tensor["values"] {
  if (dtype === "F32") return new Float32Array(bytes.buffer);
  if (dtype === "I8") return new Int8Array(bytes.buffer);
  const halves = new DataView(bytes.buffer);
  return Float32Array.from({ length: bytes.length / 2 }, (_, place) => getFloat16(halves, 2 * place, true));
}

function parse(header: Uint8Array): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(header));
    if (isTable(value)) return value;
  } catch {
    // told below
  }
  throw noDomain();
}

function placeOf(entry: unknown): Place {
  if (!isTable(entry) || Object.keys(entry).sort().join() !== "data_offsets,dtype,shape")
    throw damaged("a tensor lacks its type, shape or place");
  const { dtype, shape, data_offsets: offsets } = entry;
  if (!isType(dtype)) throw damaged("a tensor's type is unknown, or none that a page reads");
  if (!areSizes(shape) || shape.length > 8) throw damaged("a tensor's shape is no short list of sizes");
  if (!areSizes(offsets) || offsets.length !== 2) throw damaged("a tensor's place is no pair of numbers");
  const [start, end] = offsets as [number, number];
  const size = shape.reduce((total, side) => total * side, 1);
  if (end - start !== TYPES[dtype][1] * size) throw damaged("a tensor's shape and its bytes do not agree");
  return { dtype, shape, start, end };
}

function checkOrder(places: Place[], dataBytes: number): void {
  let end = 0;
  for (const place of places.sort((a, b) => a.start - b.start || a.end - b.end)) {
    if (place.start !== end) throw damaged("tensors overlap, or there are gaps between them");
    end = place.end;
  }
  if (end !== dataBytes) throw damaged("it has been cut off or added to");
}

/** Hash a description, the table of tensors and the tensors' bytes, as addapt.domains.header. */
async function checksum(text: string, places: Map<string, Place>, data: Uint8Array): Promise<string> {
  const rows = [...places.keys()].sort().map((name) => {
    const { dtype, shape, start, end } = places.get(name)!;
    return `${asciiJson(name)}: ["${TYPES[dtype][0]}", [${shape.join(", ")}], ${start}, ${end}]`;
  });
  const head = new TextEncoder().encode(`[${asciiJson(text)}, {${rows.join(", ")}}]`);
  const all = new Uint8Array(head.length + data.length);
  all.set(head);
  all.set(data, head.length);
  return sha256(all);
}

export async function sha256(bytes: Uint8Array<ArrayBuffer>): Promise<string> {
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
  return [...digest].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** Write a text as Python's json.dumps does: all but ASCII is escaped. */
export function asciiJson(text: string): string {
  return JSON.stringify(text).replace(
    /[\u007f-\uffff]/g,
    (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
}

function isType(value: unknown): value is Tensor["dtype"] {
  return typeof value === "string" && Object.hasOwn(TYPES, value);
}

function isTable(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function areSizes(value: unknown): value is number[] {
  return Array.isArray(value) && value.every((size) => Number.isSafeInteger(size) && size >= 0);
}

function noDomain(): Refusal {
  return new Refusal("This is not a domain of addapt: it is no safetensors file, or it is damaged.");
}

function damaged(reason: string): Refusal {
  return new Refusal(`The file is damaged, ${reason}: take it from a copy.`);
}
