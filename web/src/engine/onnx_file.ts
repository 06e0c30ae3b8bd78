// An ONNX file made of a template, a model without its arrays: these are added, and texts.

import { Reader, Writer } from "protobufjs/minimal";
import { Refusal } from "./description";

// Numbers of fields in onnx.proto of the ONNX project: of a model, its graph, a tensor and a text.
const MODEL = { docString: 6, graph: 7, metadata: 14 };
const GRAPH = { initializer: 5 };
const TENSOR = { dims: 1, dataType: 2, name: 8, rawData: 9 };
const TEXT = { key: 1, value: 2 };

const FLOAT = 1; // a type of elements
const [NUMBER, BYTES] = [0, 2]; // kinds of fields

export interface Constant {
  name: string;
  shape: number[];
  bytes: Uint8Array; // 32-bit floats, little-endian
}

/** Return the content of a file: a template with constants in its graph, and texts beside it. */
export function completed(
  template: Uint8Array,
  constants: Constant[],
  words: string,
  texts: Record<string, string>,
): Uint8Array {
  const model = Writer.create();
  let graph: Uint8Array | undefined;
  for (const { number, kind, value } of fieldsOf(template))
    if (number === MODEL.graph && value instanceof Uint8Array) graph = value;
    else if (value instanceof Uint8Array) model.uint32(head(number, kind)).bytes(value);
    else model.uint32(head(number, kind)).uint32(value);
  if (!graph) throw damaged();
  const added = constants.map((constant) => {
    const content = tensor(constant);
    return Writer.create().uint32(head(GRAPH.initializer)).bytes(content).finish();
  });
  model.uint32(head(MODEL.graph)).bytes(joined([graph, ...added]));
  model.uint32(head(MODEL.docString)).string(words);
  for (const [key, value] of Object.entries(texts)) {
    model.uint32(head(MODEL.metadata)).fork();
    model.uint32(head(TEXT.key)).string(key).uint32(head(TEXT.value)).string(value).ldelim();
  }
  return model.finish();
}

function tensor({ name, shape, bytes }: Constant): Uint8Array {
  const found = Writer.create();
  for (const side of shape) found.uint32(head(TENSOR.dims, NUMBER)).uint32(side);
  found.uint32(head(TENSOR.dataType, NUMBER)).uint32(FLOAT);
  found.uint32(head(TENSOR.name)).string(name);
  return found.uint32(head(TENSOR.rawData)).bytes(bytes).finish();
}

interface Field {
  number: number;
  kind: number;
  value: Uint8Array | number;
}

function fieldsOf(message: Uint8Array): Field[] {
  const reader = Reader.create(message);
  const found: Field[] = [];
  try {
    while (reader.pos < reader.len) {
      const key = reader.uint32();
      const kind = key & 7;
      if (kind !== NUMBER && kind !== BYTES) throw damaged();
      found.push({ number: key >>> 3, kind, value: kind === BYTES ? reader.bytes() : reader.uint32() });
    }
  } catch {
    throw damaged();
  }
  return found;
}

function joined(parts: Uint8Array[]): Uint8Array {
  const whole = new Uint8Array(parts.reduce((total, part) => total + part.length, 0));
  let start = 0;
  for (const part of parts) {
    whole.set(part, start);
    start += part.length;
  }
  return whole;
}

function head(number: number, kind: number = BYTES!): number {
  return (number << 3) | kind;
}

function damaged(): Refusal {
  return new Refusal("A file of the page is damaged: reload the page.");
}
