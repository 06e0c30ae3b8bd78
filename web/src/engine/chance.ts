// What is left to chance, as numpy draws it: the same seed chooses the same in the shell.

export const [ORDER, VARIATION, SPLIT] = [0, 1, 2]; // purposes, as in addapt.images.chance

const POOL = 4; // words of 32 bits
const MASK64 = (1n << 64n) - 1n;
const MASK128 = (1n << 128n) - 1n;
const MULTIPLIER = 47026247687942121848144207491837523525n;

/** Numpy's SeedSequence(seed, spawn_key): mixes numbers below 2^32 to words of 32 bits. */
function seedWords(seed: number, spawnKey: number[], words: number): Uint32Array {
  const entropy = [seed, 0, 0, 0, ...spawnKey];
  let constant = 0x43b0d7e5;
  const hash = (value: number): number => {
    value ^= constant;
    constant = Math.imul(constant, 0x931e8875);
    value = Math.imul(value, constant);
    return value ^ (value >>> 16);
  };
  const mix = (x: number, y: number): number => {
    const mixed = (Math.imul(0xca01f9dd, x) - Math.imul(0x4973f715, y)) | 0;
    return mixed ^ (mixed >>> 16);
  };
  const pool = entropy.slice(0, POOL).map(hash);
  for (let source = 0; source < POOL; source++)
    for (let target = 0; target < POOL; target++)
      if (source !== target) pool[target] = mix(pool[target]!, hash(pool[source]!));
  for (const word of entropy.slice(POOL))
    for (let target = 0; target < POOL; target++) pool[target] = mix(pool[target]!, hash(word));

  constant = 0x8b51f9dd;
  return Uint32Array.from({ length: words }, (_, place) => {
    let value = pool[place % POOL]! ^ constant;
    constant = Math.imul(constant, 0x58f38ded);
    value = Math.imul(value, constant);
    return value ^ (value >>> 16);
  });
}

/** Numpy's Generator(PCG64(SeedSequence(seed, spawn_key=(purpose, number)))). */
export class Chance {
  private state: bigint;
  private readonly increment: bigint;
  private kept: number | undefined; // the upper half of the last 64 bits

  constructor(seed: number, purpose: number, number: number) {
    const words = seedWords(seed, [purpose, number], 8);
    const [high, low, streamHigh, streamLow] = [0, 2, 4, 6].map(
      (place) => BigInt(words[place]!) | (BigInt(words[place + 1]!) << 32n),
    ) as [bigint, bigint, bigint, bigint];
    this.increment = ((((streamHigh << 64n) | streamLow) << 1n) | 1n) & MASK128;
    this.state = 0n;
    this.advance();
    this.state = (this.state + ((high << 64n) | low)) & MASK128;
    this.advance();
  }

  /** Return 32 random bits. */
  bits(): number {
    if (this.kept !== undefined) {
      const bits = this.kept;
      this.kept = undefined;
      return bits;
    }
    this.advance();
    const folded = ((this.state >> 64n) ^ this.state) & MASK64;
    const turn = this.state >> 122n;
    const all = ((folded >> turn) | (folded << (64n - turn))) & MASK64;
    this.kept = Number(all >> 32n);
    return Number(all & 0xffffffffn);
  }

  /** Draw float32 numbers from 0 to 1. */
  uniform(count: number): Float32Array {
    return Float32Array.from({ length: count }, () => (this.bits() >>> 8) / 2 ** 24);
  }

  /** Put values into a random order, in their place. */
  shuffle(values: number[]): number[] {
    for (let last = values.length - 1; last > 0; last--) {
      const other = this.upTo(last);
      [values[last], values[other]] = [values[other]!, values[last]!];
    }
    return values;
  }

  private advance(): void {
    this.state = (this.state * MULTIPLIER + this.increment) & MASK128;
  }

  /** Draw a whole number from 0 to `most`: bits are drawn until they make one that is no larger. */
  private upTo(most: number): number {
    const mask = 2 ** (32 - Math.clz32(most)) - 1;
    for (;;) {
      const drawn = (this.bits() & mask) >>> 0;
      if (drawn <= most) return drawn;
    }
  }
}

/** Return the numbers 0 ... count - 1 in the random order of an epoch. */
export function epochOrder(seed: number, epoch: number, count: number): number[] {
  return new Chance(seed, ORDER, epoch).shuffle(Array.from({ length: count }, (_, i) => i));
}

/**
 * Choose the images to check on: of every class this share, at least one on either side.
 *
 * `groups` has a number for each image; those of one number stay on one side, such as copies.
 */
export function splitValidation(
  labels: ArrayLike<number>,
  fraction: number,
  seed: number,
  groups: ArrayLike<number>,
): boolean[] {
  const chance = new Chance(seed, SPLIT, 0);
  const chosen = new Array<boolean>(labels.length).fill(false);
  for (const label of [...new Set(Array.from(labels))].sort((a, b) => a - b)) {
    const members = new Map<number, number[]>(); // in the order of their first image
    let images = 0;
    for (let i = 0; i < labels.length; i++) {
      if (labels[i] !== label) continue;
      images++;
      const group = members.get(groups[i]!);
      if (group) group.push(i);
      else members.set(groups[i]!, [i]);
    }
    if (members.size === 1) throw new RangeError(`the class ${label} has one image only`);
    const order = chance.shuffle([...members.keys()]);
    const wanted = Math.min(Math.max(roundHalfEven(images * fraction), 1), images - 1);
    const sizes = order.map((group) => members.get(group)!.length);
    dealt(sizes, wanted).forEach((isChosen, place) => {
      for (const i of members.get(order[place]!)!) chosen[i] = isChosen;
    });
  }
  return chosen;
}

/** Choose groups, in their order as far as they fit, of about so many images together. */
function dealt(sizes: number[], wanted: number): boolean[] {
  let left = wanted;
  const chosen = sizes.map((size) => {
    const fits = size <= left;
    if (fits) left -= size;
    return fits;
  });
  const others = chosen.flatMap((isChosen, place) => (isChosen ? [] : [place]));
  const smallest = others.reduce((best, place) => (sizes[place]! < sizes[best]! ? place : best));
  const isNearer = others.length > 1 && sizes[smallest]! - left < left;
  if (!chosen.includes(true) || isNearer) chosen[smallest] = true;
  return chosen;
}

/** Round as Python and numpy do: a half goes to the even number. */
export function roundHalfEven(value: number): number {
  const below = Math.floor(value);
  const rest = value - below;
  if (rest !== 0.5) return Math.round(value);
  return below % 2 === 0 ? below : below + 1;
}
