// One domain on the frozen network: a vector of trained values, and the sessions it needs.

import { AdamW, type AdamWState } from "./adamw";
import { graphsOf, type Description, type SizedGraphs } from "./description";
import { Session, bytes, floats, type Tensors } from "./runtime";

// Names of the graphs' inputs and outputs, as in addapt.engines.onnx.step.
const [TARGETS, SCALE, LOGITS, LOSS] = ["targets", "scale", "logits", "loss"];
export const [IMAGES, FEATURES] = ["images", "features"];
export const [HEAD_WEIGHT, HEAD_BIAS] = ["head.weight", "head.bias"];
const gradientOf = (name: string): string => `of ${name}`;

/** Give a file of the page by its name. */
export type ReadFile = (name: string) => Promise<Uint8Array>;

export type Arrays = Map<string, { shape: number[]; values: Float32Array }>;

/** Names and shapes of all that belongs to a domain, in the order of its vector. */
export function parametersOf(description: Description, classes: number): [string, number[]][] {
  const head: [string, number[]][] = [
    [HEAD_WEIGHT!, [classes, description.backbone.features]],
    [HEAD_BIAS!, [classes]],
  ];
  return [...description.graphs.parameters, ...head];
}

/** Return the vector that learning starts from: drawn for the adaptor, zero for the head. */
export async function firstValues(
  description: Description,
  classes: number,
  read: ReadFile,
): Promise<Float32Array> {
  const file = await read(description.graphs.first_values);
  const drawn = new Float32Array(file.slice().buffer);
  const values = new Float32Array(sizeOf(parametersOf(description, classes)));
  values.set(drawn);
  return values;
}

/** What a model says of an image: logits, and the features that its head read. */
export interface Said {
  logits: Float32Array;
  features: Float32Array;
}

/** Return the arrays by name; they share the vector's memory. */
export function splitVector(parameters: [string, number[]][], vector: Float32Array): Arrays {
  const arrays: Arrays = new Map();
  let start = 0;
  for (const [name, shape] of parameters) {
    const end = start + product(shape);
    arrays.set(name, { shape, values: vector.subarray(start, end) });
    start = end;
  }
  return arrays;
}

export function joinVector(parameters: [string, number[]][], arrays: Arrays): Float32Array {
  const vector = new Float32Array(sizeOf(parameters));
  let start = 0;
  for (const [name, shape] of parameters) {
    vector.set(arrays.get(name)!.values, start);
    start += product(shape);
  }
  return vector;
}

export class Model {
  private readonly graphs: SizedGraphs;
  private readonly parameters: [string, number[]][];
  private readonly arrays: Arrays; // of `values`
  private readonly gradient: Float32Array;
  private optimiser: AdamW | undefined;
  private session: Session | undefined;

  constructor(
    private readonly description: Description,
    private readonly read: ReadFile,
    readonly imagePx: number,
    readonly classes: number,
    readonly values: Float32Array,
  ) {
    this.graphs = graphsOf(description, imagePx);
    this.parameters = parametersOf(description, classes);
    this.arrays = splitVector(this.parameters, values);
    this.gradient = new Float32Array(values.length);
  }

  get features(): number {
    return this.description.backbone.features;
  }

  /** Make the optimiser; from now on the graph of learning is the one that runs. */
  async prepare(state?: AdamWState): Promise<void> {
    const { lr, weight_decay } = this.description.recipe;
    this.optimiser = new AdamW(this.values.length, lr, weight_decay);
    if (state) this.optimiser.state = state;
    await this.rest();
  }

  get optimiserState(): AdamWState {
    return this.optimiser!.state;
  }

  /** Let go of the session and its memory. */
  async rest(): Promise<void> {
    await this.session?.release();
    this.session = undefined;
  }

  /** Gather the gradients of one batch, a few images at once; return its mean loss. */
  async gather(images: Uint8Array[], labels: number[]): Promise<number> {
    const session = await this.opened();
    const scale = Float32Array.of(1 / images.length);
    let total = 0;
    for (const [few, start] of inPieces(images, this.graphs.at_once)) {
      const targets = this.targets(labels.slice(start, start + few.length));
      const inputs = {
        ...this.inputs(few),
        [TARGETS!]: floats(targets, few.length, this.classes),
        [SCALE!]: floats(scale.slice()),
      };
      const gradients = this.parameters.map(([name]) => gradientOf(name));
      const outputs = await session.run(inputs, [LOSS!, ...gradients]);
      let place = 0;
      for (const name of gradients) {
        const piece = outputs[name]!;
        for (let i = 0; i < piece.length; i++) this.gradient[place++]! += piece[i]!;
      }
      total += outputs[LOSS!]![0]!;
    }
    return total;
  }

  /** Change the values by the gradients gathered, at a share of the peak rate; forget them. */
  update(share: number): void {
    this.optimiser!.step(this.values, this.gradient, share);
    this.gradient.fill(0);
  }

  /** Learn no more: from now on the graph of recognising is the one that runs. */
  async stopLearning(): Promise<void> {
    this.optimiser = undefined;
    await this.rest();
  }

  /** Compute the logits of images, one row each. */
  async logits(images: Uint8Array[]): Promise<Float32Array[]> {
    const session = await this.opened();
    const found: Float32Array[] = [];
    for (const [few] of inPieces(images, this.graphs.at_once)) {
      const inputs = this.inputs(few);
      if (this.optimiser) {
        inputs[TARGETS!] = floats(new Float32Array(few.length * this.classes), few.length, this.classes);
        inputs[SCALE!] = floats(Float32Array.of(1));
      }
      const logits = (await session.run(inputs, [LOGITS!]))[LOGITS!]!;
      found.push(...rows(logits, few.length));
    }
    return found;
  }

  /** Compute logits and adapted features of images; only where nothing is being learned. */
  async answers(images: Uint8Array[]): Promise<Said[]> {
    const session = await this.opened();
    const found: Said[] = [];
    for (const [few] of inPieces(images, this.graphs.at_once)) {
      const outputs = await session.run(this.inputs(few), [LOGITS!, FEATURES!]);
      const features = rows(outputs[FEATURES!]!, few.length);
      rows(outputs[LOGITS!]!, few.length).forEach((logits, i) =>
        found.push({ logits, features: features[i]! }),
      );
    }
    return found;
  }

  private async opened(): Promise<Session> {
    if (!this.session) {
      const { weights } = this.description.graphs;
      const graph = this.optimiser ? this.graphs.learning : this.graphs.recognising;
      const file = await this.read(graph);
      this.session = await Session.create(file, { path: weights, data: await this.read(weights) });
    }
    return this.session;
  }

  private targets(labels: number[]): Float32Array {
    const smoothing = this.description.recipe.label_smoothing;
    const targets = new Float32Array(labels.length * this.classes).fill(smoothing / this.classes);
    labels.forEach((label, row) => (targets[row * this.classes + label]! += 1 - smoothing));
    return targets;
  }

  private inputs(images: Uint8Array[]): Tensors {
    const inputs: Tensors = { [IMAGES!]: pixels(images, this.imagePx) };
    for (const [name, { shape, values }] of this.arrays) inputs[name] = floats(values, ...shape);
    return inputs;
  }
}

/** Put images, RGB bytes (px, px, 3) each, into one input. */
export function pixels(images: Uint8Array[], px: number): Tensors[string] {
  const all = new Uint8Array(images.length * px * px * 3);
  images.forEach((image, place) => all.set(image, place * px * px * 3));
  return bytes(all, images.length, px, px, 3);
}

export function rows(values: Float32Array, count: number): Float32Array[] {
  const width = values.length / count;
  return Array.from({ length: count }, (_, row) => values.slice(row * width, (row + 1) * width));
}

export function* inPieces<Item>(items: Item[], most: number): Generator<[Item[], number]> {
  for (let start = 0; start < items.length; start += most)
    yield [items.slice(start, start + most), start];
}

function sizeOf(parameters: [string, number[]][]): number {
  return parameters.reduce((total, [, shape]) => total + product(shape), 0);
}

function product(shape: number[]): number {
  return shape.reduce((total, side) => total * side, 1);
}
