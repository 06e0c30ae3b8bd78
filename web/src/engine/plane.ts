// How far an image's features lie from the plane of a domain's, and how far its own images lie;
// addapt.domains.plane does the same and gives the reasons.

import { f16round } from "@petamoriken/float16";
import { EigenvalueDecomposition, Matrix } from "ml-matrix";

const AXES = 32;
const AXES_BYTES = 40_960;
const IMAGES_PER_AXIS = 4;
const FEATURES_PER_AXIS = 4;
const LEAST_DISTANCE = 1e-4;
const LEAST_DEVIATION = 0.01;
const LARGEST = 127;
const FEW = 4;
const USUAL_DEVIATION = 0.25;
// Below these lie 90, 95 and 99 % of the normal distribution.
const Z = { 0.9: 1.2815515655446004, 0.95: 1.6448536269514722, 0.99: 2.3263478740408408 };

/** The plane close to which the features of a domain lie. */
export interface Plane {
  centre: Float32Array; // f numbers of 16-bit floats
  axes: Int8Array; // k times f, at right angles
  scales: Float32Array; // k; an axis times its scale has length one
}

/** The mean and the deviation of the logarithm of distances of images that were held out. */
export interface Spread {
  mean: number;
  deviation: number;
  images: number;
}

/** Lay a plane through the features of images, by principal components. */
export function fitPlane(features: Float32Array[]): Plane {
  const rows = features.map(directions);
  const width = rows[0]!.length;
  const centre = new Float32Array(width);
  for (const row of rows) row.forEach((value, i) => (centre[i]! += value / rows.length));
  const count = Math.min(
    AXES,
    Math.floor(AXES_BYTES / width),
    Math.floor(rows.length / IMAGES_PER_AXIS),
    Math.floor(width / FEATURES_PER_AXIS),
  );
  // Of n images there are n components at most: n x n is less than f x f.
  const off = new Matrix(rows.map((row) => Array.from(row, (value, i) => value - centre[i]!)));
  const found = new EigenvalueDecomposition(off.mmul(off.transpose()), { assumeSymmetric: true });
  const largest = found.realEigenvalues
    .map((variance, place) => ({ variance, place }))
    .sort((a, b) => b.variance - a.variance)
    .slice(0, count);
  const plane = {
    centre: centre.map(f16round),
    axes: new Int8Array(count * width),
    scales: new Float32Array(count),
  };
  largest.forEach(({ place }, number) => {
    const mixture = found.eigenvectorMatrix.subMatrixColumn([place]).transpose();
    const axis = mixture.mmul(off).to1DArray();
    const length = Math.max(Math.hypot(...axis), LEAST_DISTANCE);
    const unit = axis.map((value) => value / length);
    const scale = Math.max(...unit.map(Math.abs), LEAST_DISTANCE) / LARGEST;
    plane.axes.set(
      unit.map((value) => Math.round(value / scale)),
      number * width,
    );
    plane.scales[number] = scale;
  });
  return plane;
}

/** Return how far the features of an image lie from a plane. */
export function distanceFrom({ centre, axes, scales }: Plane, features: Float32Array): number {
  const off = directions(features).map((value, i) => value - centre[i]!);
  let squared = off.reduce((sum, value) => sum + value * value, 0);
  scales.forEach((scale, number) => {
    let along = 0;
    for (let i = 0, place = number * off.length; i < off.length; i++, place++)
      along += off[i]! * axes[place]!;
    squared -= (along * scale) ** 2;
  });
  return Math.sqrt(Math.max(squared, 0));
}

/** Measure how far images lie that were held out, at least one. */
export function spreadOf(distances: number[]): Spread {
  const least = median(distances) / 2;
  const logs = distances.map((distance) => logarithm(Math.max(distance, least)));
  const images = logs.length;
  const mean = logs.reduce((sum, value) => sum + value, 0) / images;
  const squares = logs.reduce((sum, value) => sum + (value - mean) ** 2, 0);
  const deviation = images > 1 ? Math.sqrt(squares / (images - 1)) : 0;
  return { mean, deviation: Math.max(deviation, images >= FEW ? LEAST_DEVIATION : USUAL_DEVIATION), images };
}

/** Return a distance such that 0 is usual and 1 the limit, beyond which one of twenty images lies. */
export function relative(spread: Spread, distance: number): number {
  return (logarithm(distance) - spread.mean) / (spread.deviation * limitOf(spread));
}

/** Return how many deviations from the mean a share of further images lies at most. */
export function limitOf({ images }: Spread, share: keyof typeof Z = 0.95): number {
  const known = Math.max(images, FEW);
  return studentQuantile(share, known - 1) * Math.sqrt(1 + 1 / known);
}

/** Return the relative distance up to which a share of further images lies. */
export function relativeBar(spread: Spread, share: keyof typeof Z): number {
  return limitOf(spread, share) / limitOf(spread);
}

/** Student's t below which a share lies: Abramowitz and Stegun (1964), 26.7.5. */
function studentQuantile(share: keyof typeof Z, freedom: number): number {
  const z = Z[share];
  return (
    z +
    (z ** 3 + z) / (4 * freedom) +
    (5 * z ** 5 + 16 * z ** 3 + 3 * z) / (96 * freedom ** 2) +
    (3 * z ** 7 + 19 * z ** 5 + 17 * z ** 3 - 15 * z) / (384 * freedom ** 3)
  );
}

/** The square roots of features, at length one. */
function directions(features: Float32Array): Float32Array {
  const roots = features.map((value) => Math.sign(value) * Math.sqrt(Math.abs(value)));
  const length = Math.max(Math.hypot(...roots), LEAST_DISTANCE);
  return roots.map((value) => value / length);
}

function median(values: number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const half = sorted.length / 2;
  return (sorted[Math.floor(half)]! + sorted[Math.ceil(half) - 1]!) / 2;
}

function logarithm(distance: number): number {
  return Math.log(Math.max(distance, LEAST_DISTANCE));
}
