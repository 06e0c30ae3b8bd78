// A domain as the shell keeps it, NAME.safetensors: what it says of itself, and how that is checked.

import { checkClasses } from "./class_names";
import { graphsOf, Refusal, type Description } from "./description";
import type { Job } from "./job";
import type { Learned } from "./learning";
import type { Lesson } from "./lesson";
import { joinVector, parametersOf, splitVector, type Arrays } from "./model";
import { meaning, wilsonInterval } from "./scores";
import { seal, unseal, type Tensors } from "./safetensors";
import { isOfSignature, readSignature, signatureTensors, type Signature } from "./signature";

/** The version of onnxruntime-web; the build puts it here. */
declare const RUNTIME_VERSION: string;

const HELD_OUT_LIMIT = 5_000; // images
const HELD_OUT = "held_out";

/** What a file says; a domain of the shell has more in some of the tables. */
export interface DomainInfo {
  schema: number;
  backbone: string;
  weights_sha256: string;
  method: string;
  hyperparameters: Record<string, unknown>;
  classes: string[];
  image_px: number;
  mean: number[];
  std: number[];
  interpolation: string;
  seed: number;
  train_images: number;
  val_images: number;
  val_accuracy: number;
  val_report: Record<string, unknown>;
  value_range: number[];
  epochs: number;
  options: Record<string, unknown>;
  gates: Record<string, unknown>;
  signature: Record<string, unknown>;
  versions: Record<string, string>;
  date: string;
}

export interface Domain {
  info: DomainInfo;
  values: Float32Array;
  signature?: Signature | undefined; // older domains have none
}

/** Describe a domain that has just been learned; `signature` is what is to be said of its own. */
export function describeDomain(
  description: Description,
  classes: string[],
  imagePx: number,
  job: Job,
  lesson: Lesson,
  epochs: number,
  { record: best, temperature, error }: Learned,
  heldOutBefore: ReadonlySet<number>,
  signature: Record<string, unknown>,
): DomainInfo {
  const { backbone, recipe } = description;
  const { train, val } = lesson;
  const words = meaning(train.labels, val.labels, classes);
  return {
    schema: description.schema,
    backbone: backbone.name,
    weights_sha256: backbone.weights_sha256,
    method: description.method,
    hyperparameters: description.hyperparameters,
    classes,
    image_px: imagePx,
    mean: backbone.mean,
    std: backbone.std,
    interpolation: backbone.interpolation,
    seed: job.seed,
    train_images: train.images.length,
    val_images: val.images.length,
    val_accuracy: best.val_accuracy,
    val_report: {
      balanced_accuracy: best.val_balanced_accuracy,
      weakest: {
        label: classes[best.weakest_class]!,
        images: best.weakest_images,
        correct: best.weakest_correct,
      },
      interval: wilsonInterval(best.val_accuracy, val.images.length),
      ...(words ? { meaning: words } : {}),
      temperature,
      calibration_error: error,
    },
    value_range: [],
    epochs,
    options: {
      weights: backbone.weights,
      epochs: job.epochs,
      batch: job.batch,
      micro_batch: 1,
      lr: recipe.lr,
      backbone_lr: recipe.backbone_lr,
      weight_decay: recipe.weight_decay,
      label_smoothing: recipe.label_smoothing,
      patience: job.patience,
      seed: job.seed,
      augmentation: recipe.augmentation,
      balance: job.balance,
      [HELD_OUT]: heldOutText(lesson, heldOutBefore),
    },
    gates: {},
    signature,
    versions: { ...description.versions, "onnxruntime-web": RUNTIME_VERSION },
    date: new Date().toISOString().replace(/\.\d+Z$/, "+00:00"),
  };
}

export async function writeDomain(description: Description, domain: Domain): Promise<Uint8Array> {
  const { info, values, signature } = domain;
  const tensors: Tensors = signature ? signatureTensors(signature) : new Map();
  const parameters = parametersOf(description, info.classes.length);
  for (const [name, array] of splitVector(parameters, values)) tensors.set(name, { dtype: "F32", ...array });
  return seal(JSON.stringify(info), tensors);
}

/** Read a file that may be a stranger's. */
export async function readDomain(description: Description, file: Uint8Array): Promise<Domain> {
  const { text, tensors } = await unseal(file);
  const info = checkInfo(description, text);
  const parameters = parametersOf(description, info.classes.length);
  const [arrays, signing]: [Arrays, Tensors] = [new Map(), new Map()];
  for (const [name, tensor] of tensors) {
    if (isOfSignature(name)) signing.set(name, tensor);
    else if (tensor.dtype === "F32")
      arrays.set(name, { shape: tensor.shape, values: tensor.values as Float32Array });
    else throw new Refusal(`The file is damaged, tensor “${name}” is not of 32-bit floats: take it from a copy.`);
  }
  for (const [name, shape] of parameters) {
    const found = arrays.get(name);
    if (!found || found.shape.join() !== shape.join())
      throw new Refusal(`The file is not as its method keeps it: tensor “${name}” is missing or of another shape.`);
  }
  if (arrays.size !== parameters.length)
    throw new Refusal("The file is not as its method keeps it: there are tensors more than it has.");
  const signature = await readSignature(info.signature, signing, description.backbone.features);
  return { info, values: joinVector(parameters, arrays), signature };
}

/** By what the logits were divided after learning. */
export function temperatureOf(info: DomainInfo): number {
  const { temperature } = info.val_report;
  return typeof temperature === "number" && temperature > 0 ? temperature : 1;
}

/** The checksums of images that were held out. */
export function heldOutOf(info: DomainInfo): Set<number> {
  const text = info.options[HELD_OUT];
  try {
    const bytes = Uint8Array.from(atob(typeof text === "string" ? text : ""), (c) => c.charCodeAt(0));
    return new Set(new Uint32Array(bytes.buffer));
  } catch {
    return new Set();
  }
}

function checkInfo(description: Description, text: string): DomainInfo {
  const info = parseInfo(text);
  const { backbone } = description;
  if (!Number.isSafeInteger(info.schema)) throw wrongField("schema");
  if (info.schema > description.schema)
    throw new Refusal(`The file was written by a newer addapt (schema ${info.schema}): update this page.`);
  if (info.schema < description.schema)
    throw new Refusal(`The file was written by an older addapt (schema ${info.schema}): learn it again.`);
  if (info.backbone !== backbone.name || info.weights_sha256 !== backbone.weights_sha256)
    throw new Refusal(
      `The domain was learned on another network, “${String(info.backbone)}”: this page has ` +
        `${backbone.name}. Write a page of that one with addapt page --backbone.`,
    );
  if (info.method !== description.method || !isSame(info.hyperparameters, description.hyperparameters))
    throw new Refusal(
      `The domain was learned with the method “${String(info.method)}” or other settings of it: this ` +
        `page has ${description.method} as it is by default.`,
    );
  if (!isTable(info.gates) || Object.keys(info.gates).length)
    throw new Refusal("The domain has gates, which this page cannot use: learn it without.");
  if (!Array.isArray(info.value_range) || info.value_range.length)
    throw new Refusal("The domain was learned from images of more than 8 bits, which browsers do not show.");
  if (!Array.isArray(info.classes) || !info.classes.every((name) => typeof name === "string"))
    throw wrongField("classes");
  checkClasses(info.classes);
  graphsOf(description, info.image_px);
  for (const name of ["train_images", "val_images", "epochs", "seed"] as const)
    if (!Number.isSafeInteger(info[name])) throw wrongField(name);
  if (!Number.isFinite(info.val_accuracy)) throw wrongField("val_accuracy");
  for (const name of ["options", "val_report", "signature", "versions"] as const)
    if (!isTable(info[name])) throw wrongField(name);
  if (typeof info.date !== "string") throw wrongField("date");
  return info;
}

function parseInfo(text: string): DomainInfo {
  try {
    const value: unknown = JSON.parse(text);
    if (isTable(value)) return value as unknown as DomainInfo;
  } catch {
    // told below
  }
  throw new Refusal("The file's description cannot be read: take it from a copy.");
}

function wrongField(name: string): Refusal {
  return new Refusal(`The file's field “${name}” is missing or makes no sense: take it from a copy.`);
}

/** Note the checksums of images that were held out, now or before. */
function heldOutText(lesson: Lesson, before: ReadonlySet<number>): string {
  const learned = new Set(lesson.learned);
  const known = new Set([...lesson.heldOut, ...[...before].filter((each) => !learned.has(each))]);
  const chosen = Uint32Array.from(known).sort().slice(0, HELD_OUT_LIMIT);
  return btoa(String.fromCharCode(...new Uint8Array(chosen.buffer)));
}

function isTable(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function isSame(a: unknown, b: unknown): boolean {
  return JSON.stringify(sorted(a)) === JSON.stringify(sorted(b));
}

function sorted(value: unknown): unknown {
  return isTable(value) ? Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1)) : value;
}
