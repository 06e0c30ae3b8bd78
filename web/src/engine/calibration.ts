// Probabilities that mean what they say: logits divided by a temperature, which is put into the
// head; addapt.learning.calibration does the same and gives the source.

import { best, crossEntropy, softmax } from "./scores";

const LARGEST_TEMPERATURE = 5; // the smallest is one in so many
const PRIOR_DEVIATION = 0.5; // of the logarithm of a temperature
const STEPS = 40; // of the search, each of which leaves 62 % of what is open
const GOLDEN = (Math.sqrt(5) - 1) / 2;
const BINS = 15;

/** Return by what to divide logits to make the labels most probable. */
export function bestTemperature(logits: Float32Array[], labels: number[]): number {
  const cost = (logTemperature: number): number => {
    const prior = (logTemperature / PRIOR_DEVIATION) ** 2 / 2;
    return crossEntropy(divided(logits, Math.exp(logTemperature)), labels) + prior / labels.length;
  };
  let [low, high] = [-Math.log(LARGEST_TEMPERATURE), Math.log(LARGEST_TEMPERATURE)];
  for (let step = 0; step < STEPS; step++) {
    const width = GOLDEN * (high - low);
    const [left, right] = [high - width, low + width];
    if (cost(left) < cost(right)) high = right;
    else low = left;
  }
  return Math.exp((low + high) / 2);
}

/** By how much the probability of answers and the share of right ones differ on average. */
export function calibrationError(logits: Float32Array[], labels: number[]): number {
  const gaps = new Array<number>(BINS).fill(0);
  logits.map(softmax).forEach((row, i) => {
    const answer = best(row);
    const bin = Math.min(Math.floor(row[answer]! * BINS), BINS - 1);
    gaps[bin]! += row[answer]! - Number(answer === labels[i]);
  });
  return gaps.reduce((total, gap) => total + Math.abs(gap), 0) / labels.length;
}

export function divided(logits: Float32Array[], temperature: number): Float32Array[] {
  const divisor = Math.fround(temperature);
  return logits.map((row) => row.map((value) => value / divisor));
}
