// The loop of learning: the same given the seed, and resumable at any step.
//
// Nothing random is carried from step to step, as in addapt.learning.loop: a state is only the
// tensors and the number of the next step.

import type { AdamWState } from "./adamw";
import { classLift } from "./balance";
import { bestTemperature, calibrationError, divided } from "./calibration";
import { epochOrder } from "./chance";
import { Refusal, type Recipe } from "./description";
import { batches, lrFactor, stepsPerEpoch, type Job } from "./job";
import type { Lesson } from "./lesson";
import type { Model } from "./model";
import { Scores, crossEntropy } from "./scores";
import { someHeldOut } from "./signing";
import { DRAWS, drawVariation, vary } from "./vary";

export interface EpochRecord {
  epoch: number;
  train_loss: number;
  val_loss: number;
  val_accuracy: number;
  val_balanced_accuracy: number;
  weakest_class: number;
  weakest_images: number;
  weakest_correct: number;
}

/** A run between two steps; it can be kept and gone on with. */
export interface LearningState {
  step: number;
  lossSum: number; // of the epoch so far
  history: EpochRecord[];
  bestEpoch: number; // 0 before there is one
  best: Float32Array;
  values: Float32Array;
  optimiser: AdamWState | null; // null before the first step
}

/** What was learned in the end, and what is known of it from the images held out. */
export interface Learned {
  values: Float32Array;
  record: EpochRecord;
  temperature: number; // by which logits were divided
  error: number; // of the probabilities that is left
  heldOut: Float32Array[]; // the features of these images
}

export function newState(values: Float32Array): LearningState {
  return {
    step: 0,
    lossSum: 0,
    history: [],
    bestEpoch: 0,
    best: new Float32Array(0),
    values,
    optimiser: null,
  };
}

export class Learning {
  readonly steps: number;
  private readonly perEpoch: number;
  private readonly lift: Float32Array | undefined;

  /** `model` has the values of `state`; call `prepare` before the first step. */
  constructor(
    private readonly model: Model,
    private readonly recipe: Recipe,
    private readonly job: Job,
    private readonly lesson: Lesson,
    private readonly state: LearningState,
  ) {
    this.perEpoch = stepsPerEpoch(lesson.train.images.length, job.batch);
    this.steps = job.epochs * this.perEpoch;
    if (job.balance)
      this.lift = classLift(lesson.train.labels, model.classes, recipe.label_smoothing);
  }

  async prepare(): Promise<void> {
    await this.model.prepare(this.state.optimiser ?? undefined);
  }

  get step(): number {
    return this.state.step;
  }

  get history(): readonly EpochRecord[] {
    return this.state.history;
  }

  get isOver(): boolean {
    const { history, bestEpoch } = this.state;
    return history.length >= this.job.epochs || history.length - bestEpoch >= this.job.patience;
  }

  /** Take the best epoch's values, lift rare classes, and calibrate; after the last step. */
  async finish(mostHeldOut: number): Promise<Learned> {
    const { model } = this;
    const { images, labels } = someHeldOut(this.lesson.val, mostHeldOut);
    const values = this.state.best.slice();
    const start = values.length - model.classes;
    this.lift?.forEach((lift, label) => (values[start + label]! += lift));
    model.values.set(values);
    await model.stopLearning();
    const said = await model.answers(images);
    const logits = said.map((each) => each.logits);
    const temperature = bestTemperature(logits, labels);
    for (let i = start - model.classes * model.features; i < values.length; i++)
      values[i]! /= temperature;
    const error = calibrationError(divided(logits, temperature), labels);
    model.values.set(values);
    return {
      values,
      record: this.state.history[this.state.bestEpoch - 1]!,
      temperature,
      error,
      heldOut: said.map(({ features }) => features),
    };
  }

  /** Return copies of all that is needed to go on. */
  capture(): LearningState {
    return structuredClone({
      ...this.state,
      values: this.model.values,
      optimiser: this.state.step ? this.model.optimiserState : null,
    });
  }

  /** Make the next step, and check after the last of an epoch. */
  async advance(): Promise<void> {
    const { state, perEpoch } = this;
    const isChecked = state.step === (state.history.length + 1) * perEpoch;
    if (!isChecked) await this.learn();
    if (state.step === (state.history.length + 1) * perEpoch) await this.endEpoch();
  }

  private async learn(): Promise<void> {
    const { images, labels } = this.lesson.train;
    const { step } = this.state;
    const epoch = Math.floor(step / this.perEpoch);
    const order = epochOrder(this.job.seed, epoch, images.length);
    const places = batches(order, this.perEpoch)[step - epoch * this.perEpoch]!;
    const draws = drawVariation(this.job.seed, step, places.length);
    const varied = places.map((place, i) =>
      vary(
        images[place]!,
        this.model.imagePx,
        this.recipe.augmentation,
        draws.subarray(i * DRAWS, (i + 1) * DRAWS),
      ),
    );
    const loss = await this.model.gather(
      varied,
      places.map((place) => labels[place]!),
    );
    this.refuseDivergence(loss);
    this.model.update(lrFactor(step, this.steps));
    this.state.lossSum += loss;
    this.state.step++;
  }

  private async endEpoch(): Promise<void> {
    const { images, labels } = this.lesson.val;
    const logits = await this.model.logits(images);
    for (const row of logits) this.lift?.forEach((lift, label) => (row[label]! += lift));
    const scores = Scores.of(labels, logits, this.model.classes);
    const loss = crossEntropy(logits, labels);
    this.refuseDivergence(loss);
    const { state } = this;
    const { weakest } = scores;
    const record: EpochRecord = {
      epoch: state.history.length + 1,
      train_loss: state.lossSum / this.perEpoch,
      val_loss: loss,
      val_accuracy: scores.accuracy,
      val_balanced_accuracy: scores.balancedAccuracy,
      weakest_class: weakest,
      weakest_images: scores.images[weakest]!,
      weakest_correct: scores.correct[weakest]!,
    };
    state.history.push(record);
    state.lossSum = 0;
    // A smaller difference on few images is chance, and later epochs are to be preferred then.
    const highest = Math.max(...state.history.map((each) => each.val_balanced_accuracy));
    if (record.val_balanced_accuracy >= highest - scores.chance(highest)) {
      state.bestEpoch = record.epoch;
      state.best = this.model.values.slice();
    }
  }

  private refuseDivergence(loss: number): void {
    if (!Number.isFinite(loss))
      throw new Refusal(
        `Learning failed: the loss became ${loss} at step ${this.state.step + 1} of ${this.steps}. ` +
          "Look at the images, and teach once more.",
      );
  }
}
