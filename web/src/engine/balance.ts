// Rare classes are lifted above what a model has learned of their rareness; see
// addapt.learning.balance, which does the same and gives the reasons.

import { count } from "./scores";

const UNEVEN_RATIO = 3;
const STRENGTH = 0.5;
const MOST = 2 / 3;

/** Tell whether the largest class has more than three times as many images as the smallest. */
export function isUneven(labels: number[], classes: number): boolean {
  const present = count(labels, classes).filter((images) => images > 0);
  return Math.max(...present) / Math.min(...present) > UNEVEN_RATIO;
}

/** Return what is added to the logits of the classes, 0 for the largest. */
export function classLift(labels: number[], classes: number, labelSmoothing: number): Float32Array {
  const counts = count(labels, classes);
  const largest = Math.max(...counts);
  const lift = counts.map((images) => STRENGTH * Math.log(largest / (images || largest)));
  const highest = Math.max(...lift);
  let share = 1;
  if (labelSmoothing > 0 && highest > 0) {
    const wrong = labelSmoothing / classes;
    const distance = Math.log((1 - labelSmoothing + wrong) / wrong);
    share = Math.min(1, (MOST * distance) / highest);
  }
  return Float32Array.from(lift, (value) => value * share);
}
