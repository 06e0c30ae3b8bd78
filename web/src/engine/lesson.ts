// From images with classes to what is learned from and what is checked on, as the shell does it.

import { splitValidation } from "./chance";
import { crc32, firstOfCopies } from "./copies";
import { Refusal } from "./description";

export interface Part {
  images: Uint8Array[]; // RGB bytes (px, px, 3)
  labels: number[];
}

export interface Lesson {
  train: Part;
  val: Part;
  heldOut: number[]; // checksums of the images to check on
  learned: number[]; // and of those to learn from
  warnings: string[];
}

/**
 * Hold images out, leave out what lies in two classes, and keep copies on one side.
 *
 * `before` are the checksums of what was held out of a domain that is learned on: a class with such
 * images has these and no others, since it cannot be known which of the others are new.
 */
export function makeLesson(
  all: Part,
  classes: string[],
  valFraction: number,
  seed: number,
  before: ReadonlySet<number> = new Set(),
): Lesson {
  const checksums = all.images.map(crc32);
  const first = firstOfCopies(all.images, checksums);
  const torn = new Set(first.filter((copied, i) => all.labels[copied] !== all.labels[i]));
  const kept = first.flatMap((copied, i) => (torn.has(copied) ? [] : [i]));
  const warnings: string[] = [];
  const out = all.images.length - kept.length;
  if (out) warnings.push(`${out} images lie in two classes, and are left out in both.`);
  const labels = kept.map((i) => all.labels[i]!);
  const groups = kept.map((i) => first[i]!);
  classes.forEach((name, label) => {
    const own = new Set(groups.filter((_, place) => labels[place] === label));
    if (own.size < 2)
      throw new Refusal(
        `The class “${name}” has ${own.size === 1 ? "a single image" : "no image"}. At least two ` +
          "different ones are needed: one to learn from and one to check on.",
      );
  });
  const repeated = groups.filter((copied, place) => copied !== kept[place]).length;
  if (repeated) warnings.push(`${repeated} images are copies of others; copies stay on one side.`);

  let inVal = splitValidation(labels, valFraction, seed, groups);
  const again = kept.map((i) => before.has(checksums[i]!));
  classes.forEach((_, label) => {
    const own = again.filter((_, place) => labels[place] === label);
    if (own.includes(true) && own.includes(false)) // something has to be left to learn from
      inVal = inVal.map((chosen, place) => (labels[place] === label ? again[place]! : chosen));
  });
  const part = (wanted: boolean): number[] => kept.filter((_, place) => inVal[place] === wanted);
  const select = (places: number[]): Part => ({
    images: places.map((i) => all.images[i]!),
    labels: places.map((i) => all.labels[i]!),
  });
  return {
    train: select(part(false)),
    val: select(part(true)),
    heldOut: part(true).map((i) => checksums[i]!),
    learned: part(false).map((i) => checksums[i]!),
    warnings,
  };
}
