// What is to be learned and how: what addapt.learning.job fills in of the method's recipe.

import { isUneven } from "./balance";
import { roundHalfEven } from "./chance";
import type { Description } from "./description";
import type { Lesson } from "./lesson";

const WARM_UP_SHARE = 0.1;
const SHARE_OF_PASSES = 0.5; // where a domain is learned on
const KEPT = 0.6; // of the way from a new model to the one that was learned

export interface Job {
  epochs: number;
  batch: number;
  patience: number;
  seed: number;
  balance: boolean;
}

export function jobFor(
  { recipe, seed }: Description,
  { train }: Lesson,
  classes: number,
  goesOn: boolean,
): Job {
  const steps = stepsPerEpoch(train.images.length, recipe.batch);
  const all = Math.max(recipe.epochs, Math.ceil(recipe.min_steps / steps));
  const epochs = goesOn ? Math.ceil(SHARE_OF_PASSES * all) : all;
  const patience = Math.max(1, Math.ceil(recipe.patience * epochs));
  return { epochs, batch: recipe.batch, patience, seed, balance: isUneven(train.labels, classes) };
}

export function stepsPerEpoch(images: number, batch: number): number {
  return Math.ceil(images / batch);
}

/** The share of the peak learning rate at a step: linear warm-up, cosine to zero. */
export function lrFactor(step: number, steps: number): number {
  const warmUp = Math.max(1, roundHalfEven(steps * WARM_UP_SHARE));
  if (step < warmUp) return (step + 1) / warmUp;
  return 0.5 * (1 + Math.cos((Math.PI * (step - warmUp)) / Math.max(1, steps - warmUp)));
}

/** Split an epoch's images into batches that differ by one at most. */
export function batches<Item>(items: Item[], parts: number): Item[][] {
  const least = Math.floor(items.length / parts);
  const larger = items.length % parts;
  return Array.from({ length: parts }, (_, part) => {
    const start = part * least + Math.min(part, larger);
    return items.slice(start, start + least + (part < larger ? 1 : 0));
  });
}

/**
 * Return the values from which learning goes on: between what was learned and a new model, and
 * without the head's bias. New classes come behind the old ones. By the temperature the head's
 * logits were divided once it was learned.
 */
export function goingOn(
  learned: Float32Array,
  before: number,
  temperature: number,
  fresh: Float32Array,
  classes: number,
  features: number,
): Float32Array {
  const adaptor = fresh.length - classes * (features + 1);
  const common = adaptor + before * features; // a new class's row stays zero
  const kept = Math.fround(KEPT);
  return fresh.map((value, i) => {
    if (i >= common) return value;
    const known = i < adaptor ? learned[i]! : Math.fround(learned[i]! * temperature);
    return value + kept * Math.fround(known - value);
  });
}
