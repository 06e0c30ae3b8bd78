// What a share of recognised images is worth; addapt.learning.scores does the same.

const Z95 = 1.959964; // of the normal distribution, 95 % lie within so many standard deviations
const SMALL_CLASS = 10; // images; below this an accuracy says little at all
// By how much an epoch must be better than a later one to be kept: standard errors, and images.
const ERRORS = 2;
const IMAGES = 5.5;

/** How many images of each class there were, and how many of them were recognised. */
export class Scores {
  constructor(
    readonly images: number[],
    readonly correct: number[],
  ) {}

  static of(labels: number[], logits: Float32Array[], classes: number): Scores {
    const images = new Array<number>(classes).fill(0);
    const correct = new Array<number>(classes).fill(0);
    labels.forEach((label, i) => {
      images[label]!++;
      if (best(logits[i]!) === label) correct[label]!++;
    });
    return new Scores(images, correct);
  }

  get accuracy(): number {
    return sum(this.correct) / sum(this.images);
  }

  /** The mean of the shares of each class that has images. */
  get balancedAccuracy(): number {
    const shares = this.present.map((label) => this.share(label));
    return sum(shares) / shares.length;
  }

  /** How many images of even classes would tell the balanced accuracy as surely. */
  get balancedImages(): number {
    return this.present.length ** 2 / sum(this.present.map((label) => 1 / this.images[label]!));
  }

  /** What an image of the smallest class changes more than if classes were even. */
  get grain(): number {
    const counts = this.present.map((label) => this.images[label]!);
    return 1 / (counts.length * Math.min(...counts)) - 1 / sum(this.images);
  }

  /** By how much the balanced accuracy may be below the highest one of all by chance. */
  chance(highest: number): number {
    const images = this.balancedImages;
    return Math.max(ERRORS * standardError(highest, images), IMAGES / images) + this.grain;
  }

  /** The class that was recognised worst; of equals, the one of most images. */
  get weakest(): number {
    return this.present.reduce((worst, label) => {
      const difference = this.share(label) - this.share(worst);
      const isLarger = this.images[label]! > this.images[worst]!;
      return difference < 0 || (difference === 0 && isLarger) ? label : worst;
    });
  }

  private share(label: number): number {
    return this.correct[label]! / this.images[label]!;
  }

  private get present(): number[] {
    return this.images.flatMap((images, label) => (images ? [label] : []));
  }
}

/** The standard error of an accuracy; two right and two wrong are added (Agresti and Coull). */
function standardError(accuracy: number, images: number): number {
  const expected = (accuracy * images + 2) / (images + 4);
  return Math.sqrt((expected * (1 - expected)) / (images + 4));
}

/** Where 95 % of the truth lies when so many images were recognised to this share (Wilson). */
export function wilsonInterval(accuracy: number, images: number): [number, number] {
  const z2 = Z95 ** 2 / images;
  const middle = (accuracy + z2 / 2) / (1 + z2);
  const half = (Z95 / (1 + z2)) * Math.sqrt((accuracy * (1 - accuracy)) / images + z2 / 4 / images);
  return [Math.max(0, middle - half), Math.min(1, middle + half)];
}

/** Say why an accuracy on images held out says little; "" if it does not. */
export function meaning(train: number[], val: number[], classes: string[]): string {
  const heldOut = count(val, classes.length);
  const images = count(train, classes.length).map((learned, label) => learned + heldOut[label]!);
  const present = images.flatMap((number, label) => (number ? [label] : []));
  const smallest = present.reduce((least, label) => (images[label]! < images[least]! ? label : least));
  if (images[smallest]! >= SMALL_CLASS) return "";
  return (
    `The accuracy says little: of the class '${classes[smallest]}' there are only ` +
    `${images[smallest]} images, ${heldOut[smallest]} of them held out. Give at least ` +
    `${SMALL_CLASS} images of each class.`
  );
}

export function softmax(logits: Float32Array): Float32Array {
  const most = logits.reduce((a, b) => Math.max(a, b));
  const exponentials = logits.map((value) => Math.exp(value - most));
  const total = sum(exponentials);
  return exponentials.map((value) => value / total);
}

/** The mean over images of -log(probability of its class). */
export function crossEntropy(logits: Float32Array[], labels: number[]): number {
  const losses = logits.map((row, i) => {
    const most = row.reduce((a, b) => Math.max(a, b));
    let total = 0;
    for (const value of row) total += Math.exp(value - most);
    return Math.log(total) - (row[labels[i]!]! - most);
  });
  return sum(losses) / losses.length;
}

export function best(values: ArrayLike<number>): number {
  let found = 0;
  for (let i = 1; i < values.length; i++) if (values[i]! > values[found]!) found = i;
  return found;
}

export function count(labels: number[], classes: number): number[] {
  const counts = new Array<number>(classes).fill(0);
  for (const label of labels) counts[label]!++;
  return counts;
}

function sum(values: Iterable<number>): number {
  let total = 0;
  for (const value of values) total += value;
  return total;
}
