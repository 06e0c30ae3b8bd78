// The worker: everything that computes, so that the page never stutters.

import { Storage } from "../storage";
import { candidates } from "./choosing";
import { isImage, jpegOf, pixelsOf, squareOf } from "./decode";
import { graphsOf, Refusal, type Description } from "./description";
import { describeDomain, heldOutOf, readDomain, temperatureOf, writeDomain, type Domain } from "./domain_file";
import { exportOnnx } from "./exporting";
import { goingOn, jobFor } from "./job";
import { Learning, newState } from "./learning";
import { makeLesson } from "./lesson";
import { Look } from "./look";
import { Model, firstValues } from "./model";
import { distanceFrom } from "./plane";
import type { Answer, Kind, Known, Progress, Question, Reply, Requests, Taught, TeachOrder } from "./requests";
import { resizeToSquare } from "./resize";
import { prepareRuntime, type Processor } from "./runtime";
import { softmax } from "./scores";
import { relativeDistance, signatureFields } from "./signature";
import { sign } from "./signing";

const KEEP_EVERY_MS = 10_000;

type Handlers = {
  [Name in Kind]: (
    takes: Requests[Name]["takes"],
    tell: (progress: Progress) => void,
  ) => Promise<Requests[Name]["gives"]>;
};

let description: Description;
let processor: Processor;
let isPaused = false;
let ready: { key: string; model: Model } | undefined; // what was asked last
let look: Look | undefined; // if there was something to choose
let lastTurn: Promise<unknown> = Promise.resolve();

/** Do one thing after the other, as all share sessions. */
function inTurn<Found>(work: () => Promise<Found>): Promise<Found> {
  const turn = lastTurn.then(work);
  lastTurn = turn.catch(() => undefined);
  return turn;
}

async function fetched(name: string): Promise<Response> {
  const response = await fetch(new URL(name, self.location.href)).catch(() => undefined);
  if (!response?.ok)
    throw new Refusal(`The page's file ${name} cannot be had: reload the page when you are online.`);
  return response;
}

async function read(name: string): Promise<Uint8Array> {
  return new Uint8Array(await (await fetched(name)).arrayBuffer());
}

async function open(): Promise<{ description: Description; processor: Processor }> {
  description ??= (await (await fetched("page.json")).json()) as Description;
  processor ??= prepareRuntime(new URL("runtime/", self.location.href).href);
  return { description, processor };
}

async function teach(order: TeachOrder, tell: (progress: Progress) => void): Promise<Taught> {
  isPaused = false;
  await inTurn(async () => {
    await ready?.model.rest();
    await look?.rest();
    ready = undefined;
  });
  const { classes, imagePx, labels, from } = order;
  const images: Uint8Array[] = [];
  for (const file of order.images) {
    images.push(await squareOf(file, imagePx, description));
    tell({ phase: "reading", done: images.length, of: labels.length, history: [] });
  }
  const before = from ? heldOutOf(from.info) : new Set<number>();
  const { recipe, seed } = description;
  const lesson = makeLesson({ images, labels }, classes, recipe.val_fraction, seed, before);
  const job = jobFor(description, lesson, classes.length, from !== null);
  const state = order.state ?? newState(await startOf(classes.length, from));
  const model = new Model(description, read, imagePx, classes.length, state.values);
  const learning = new Learning(model, recipe, job, lesson, state);
  // Had before, should the page be offline when all is learned.
  const { recognising, signed_template: template } = graphsOf(description, imagePx);
  for (const file of [recognising, description.graphs.look.recognising, template]) await read(file);
  const warnings = new Set(lesson.warnings);
  const storage = await Storage.open();
  // Kept from here: a state has megabytes, and would stop the page for a moment.
  const keep = (): Promise<void> => storage.putRun({ ...order.run, state: learning.capture() });
  const keepIfPossible = (): Promise<boolean> =>
    keep().then(
      () => true,
      (error: Error) => {
        warnings.add(error.message);
        return false;
      },
    );
  const seen = new Look(description, read);
  await learning.prepare();
  let keptAt = performance.now();
  try {
    while (!learning.isOver) {
      if (isPaused) {
        await keep();
        return { domain: null, warnings: [...warnings] };
      }
      await learning.advance();
      tell({
        phase: "learning",
        done: learning.step,
        of: learning.steps,
        history: [...learning.history],
      });
      if (performance.now() - keptAt > KEEP_EVERY_MS) {
        await keepIfPossible();
        keptAt = performance.now();
      }
      await messages();
    }
    const isKept = await keepIfPossible(); // signing takes a while
    const learned = await learning.finish(description.signature.held_out_images);
    const signature = await sign(
      description,
      model,
      seen,
      lesson.train.images,
      learned.heldOut,
      async (done, of) => {
        tell({ phase: "signing", done, of, history: [...learning.history] });
        await messages();
        if (isPaused && isKept) throw new Paused();
      },
    );
    const info = describeDomain(
      description,
      classes,
      imagePx,
      job,
      lesson,
      learning.history.length,
      learned,
      before,
      await signatureFields(signature),
    );
    return { domain: { info, values: learned.values, signature }, warnings: [...warnings] };
  } catch (error) {
    if (error instanceof Paused) return { domain: null, warnings: [...warnings] };
    throw error;
  } finally {
    storage.close();
    await model.rest();
    await seen.rest();
  }
}

/** The pass after learning was broken off; what was learned is kept. */
class Paused extends Error {}

/** Let messages in, so that a pause is heard. */
function messages(): Promise<void> {
  return new Promise((resume) => setTimeout(resume));
}

async function startOf(classes: number, from: Domain | null): Promise<Float32Array> {
  const fresh = await firstValues(description, classes, read);
  if (!from) return fresh;
  const { features } = description.backbone;
  const temperature = temperatureOf(from.info);
  return goingOn(from.values, from.info.classes.length, temperature, fresh, classes, features);
}

async function recognise({ domain, image }: Requests["recognise"]["takes"]): Promise<Answer> {
  const started = performance.now();
  return answerOf(domain, await squareOf(image, domain.learned.info.image_px, description), started);
}

/** Ask the domains that are nearest at the shared look; the one that is least far answers. */
async function choose(image: Requests["choose"]["takes"]): Promise<Answer> {
  const started = performance.now();
  const known = await signedDomains();
  const { data, width, height } = await pixelsOf(image);
  const square = (px: number): Uint8Array =>
    resizeToSquare(data, width, height, px, description.backbone.interpolation);
  const sizes = new Set(known.map(({ learned }) => learned.info.image_px));
  const px = sizes.size > 1 ? description.graphs.look.image_px : [...sizes][0]!;
  look ??= new Look(description, read);
  const [features] = await look.features([square(px)], px);
  const looks = known.map(({ learned }) => distanceFrom(learned.signature!.look, features!));
  const answers: Answer[] = [];
  for (const place of candidates(looks)) {
    const domain = known[place]!;
    answers.push(await answerOf(domain, square(domain.learned.info.image_px), started));
  }
  const least = Math.min(...answers.map(({ distance }) => distance!));
  return { ...answers.find(({ distance }) => distance === least)!, ms: performance.now() - started };
}

/** Return the domains that can be chosen among, as they are kept now. */
async function signedDomains(): Promise<Known[]> {
  const storage = await Storage.open();
  const kept = await storage.domains().finally(() => storage.close());
  const { image_px: lookPx } = description.graphs.look;
  const known = kept.flatMap(({ id, name, learned }) =>
    learned?.signature?.look_px === lookPx ? [{ id, name, learned }] : [],
  );
  if (!known.length)
    throw new Refusal("No domain here can be chosen by itself: teach one, or import one that has a signature.");
  return known;
}

async function answerOf({ id, name, learned }: Known, square: Uint8Array, started: number): Promise<Answer> {
  const { image_px: px, classes, date } = learned.info;
  const key = `${id} ${date}`;
  if (ready?.key !== key) {
    await ready?.model.rest();
    ready = { key, model: new Model(description, read, px, classes.length, learned.values) };
  }
  const [said] = await ready.model.answers([square]);
  const distance = learned.signature ? relativeDistance(learned.signature, said!.features) : null;
  return { name, classes, probabilities: softmax(said!.logits), distance, ms: performance.now() - started };
}

const handlers: Handlers = {
  open,
  isImage,
  jpeg: jpegOf,
  teach,
  pause: async () => {
    isPaused = true;
    return null;
  },
  recognise: (takes) => inTurn(() => recognise(takes)),
  choose: (image) => inTurn(() => choose(image)),
  write: (domain) => writeDomain(description, domain),
  onnx: ({ name, domain }) => inTurn(() => exportOnnx(description, read, name, domain)),
  read: (file) => readDomain(description, file),
};

self.onmessage = async ({ data: { id, kind, takes } }: MessageEvent<Question>): Promise<void> => {
  const reply = (answer: Reply): void => self.postMessage(answer);
  try {
    const handle = handlers[kind] as (
      takes: unknown,
      tell: (progress: Progress) => void,
    ) => Promise<unknown>;
    reply({ id, gives: await handle(takes, (progress) => reply({ id, progress })) });
  } catch (error) {
    const said = error instanceof Refusal ? error.message : `Something failed: ${String(error)}`;
    reply({ id, refused: said });
  }
};
