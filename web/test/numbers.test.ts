import { strict as assert } from "node:assert";
import { test } from "node:test";
import { AdamW } from "../src/engine/adamw";
import { classLift } from "../src/engine/balance";
import { bestTemperature, calibrationError } from "../src/engine/calibration";
import { epochOrder, roundHalfEven, splitValidation } from "../src/engine/chance";
import { candidates } from "../src/engine/choosing";
import { batches, goingOn, lrFactor } from "../src/engine/job";
import { distanceFrom, fitPlane, relative, spreadOf } from "../src/engine/plane";
import {
  Scores,
  crossEntropy,
  meaning,
  softmax,
  wilsonInterval,
} from "../src/engine/scores";
import { drawVariation } from "../src/engine/vary";
import { assertNear, expected } from "./expected";

test("chance chooses as numpy does", () => {
  const { orders, draws, splits } = expected("chance");
  for (const { seed, epoch, order } of orders)
    assert.deepEqual(epochOrder(seed, epoch, order.length), order);
  for (const { seed, step, draws: wanted } of draws)
    assert.deepEqual([...drawVariation(seed, step, wanted.length / 7)], wanted);
  for (const { labels, groups, seed, fraction, chosen } of splits)
    assert.deepEqual(splitValidation(labels, fraction, seed, groups), chosen);
});

test("AdamW makes the same steps", () => {
  const wanted = expected("adamw");
  const values = Float32Array.from(wanted.first);
  const optimiser = new AdamW(values.length, wanted.lr, wanted.weight_decay);
  wanted.gradients.forEach((gradient: number[], step: number) =>
    optimiser.step(values, Float32Array.from(gradient), wanted.shares[step]),
  );
  assertNear(values, wanted.values, 1e-6);
  assertNear(optimiser.state.average, wanted.average, 1e-6);
  assertNear(optimiser.state.squareAverage, wanted.square_average, 1e-6);
});

test("the schedule is the same", () => {
  for (const { steps, factors } of expected("schedule"))
    assertNear(
      factors.map((_: number, step: number) => lrFactor(step, steps)),
      factors,
      1e-12,
    );
});

test("scores are the same", () => {
  for (const wanted of expected("scores")) {
    const { labels, classes } = wanted;
    const logits: Float32Array[] = wanted.logits.map((row: number[]) => Float32Array.from(row));
    const scores = Scores.of(labels, logits, classes.length);
    assertNear(
      [scores.accuracy, scores.balancedAccuracy, scores.balancedImages, scores.grain],
      [wanted.accuracy, wanted.balanced_accuracy, wanted.balanced_images, wanted.grain],
      1e-12,
    );
    assert.equal(scores.weakest, wanted.weakest);
    assertNear([scores.chance(scores.balancedAccuracy)], [wanted.chance], 1e-12);
    assertNear(wilsonInterval(scores.accuracy, labels.length), wanted.interval, 1e-12);
    // The shell also says that images can be put into a folder.
    const words = wanted.meaning.replace(", or more of them in a folder val", "");
    assert.equal(meaning(wanted.train, labels, classes), words);
    logits.forEach((row, i) => assertNear(softmax(row), wanted.softmax[i], 1e-6));
    assertNear([crossEntropy(logits, labels)], [wanted.cross_entropy], 1e-6);
    assertNear([bestTemperature(logits, labels)], [wanted.temperature], 1e-4);
    assertNear([calibrationError(logits, labels)], [wanted.calibration_error], 1e-6);
    assertNear(classLift(labels, classes.length, 0.1), wanted.lift, 1e-6);
    assertNear(classLift(labels, classes.length, 0), wanted.plain_lift, 1e-6);
  }
});

test("batches differ by one image at most", () => {
  const all = Array.from({ length: 11 }, (_, i) => i);
  assert.deepEqual(batches(all, 3), [all.slice(0, 4), all.slice(4, 8), all.slice(8)]);
  assert.deepEqual([0.5, 1.5, 2.5, -0.5, 2.4, -1.6].map(roundHalfEven), [0, 2, 2, 0, 2, -2]);
});

test("learning goes on between what was learned and a new model", () => {
  // Two numbers of an adaptor; a head of two features, for two classes and then three.
  const learned = Float32Array.of(1, 2, 1.5, 2, 2.5, 3, 0.5, 0.5); // at a temperature of 2
  const fresh = Float32Array.of(0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0);
  const going = goingOn(learned, 2, 2, fresh, 3, 2);
  assertNear(going, [0.6, 1.6, 1.8, 2.4, 3, 3.6, 0, 0, 0, 0, 0], 1e-6);
});

test("planes and distances from them are the same", () => {
  const rows = (found: number[][]): Float32Array[] => found.map((row) => Float32Array.from(row));
  for (const wanted of expected("planes")) {
    const plane = fitPlane(rows(wanted.features));
    assert.equal(plane.scales.length, wanted.axes);
    const distances = rows(wanted.others).map((row) => distanceFrom(plane, row));
    assertNear(distances, wanted.distances, 1e-3);
    const spread = spreadOf(wanted.distances);
    const { mean, deviation, images } = wanted.spread;
    assertNear([spread.mean, spread.deviation, spread.images], [mean, deviation, images], 1e-9);
    assertNear(wanted.distances.map((each: number) => relative(spread, each)), wanted.relative, 1e-9);
  }
});

test("the same domains are asked", () => {
  for (const { looks, asked } of expected("candidates")) assert.deepEqual(candidates(looks), asked);
});
