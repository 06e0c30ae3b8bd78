// Images become squares as Pillow resizes them, to the last bit: what is taught here is what the
// shell sees, and canvases of different browsers differ.

const PRECISION = 22; // bits of the weights behind the point
const HALF = 1 << (PRECISION - 1); // for rounding

type Interpolation = "bicubic" | "bilinear";

interface Filter {
  support: number;
  weight: (distance: number) => number;
}

const FILTERS: Record<Interpolation, Filter> = {
  bilinear: { support: 1, weight: (x) => Math.max(0, 1 - Math.abs(x)) },
  bicubic: {
    support: 2,
    weight: (x) => {
      const a = -0.5;
      x = Math.abs(x);
      if (x < 1) return ((a + 2) * x - (a + 3)) * x * x + 1;
      if (x < 2) return (((x - 5) * x + 8) * x - 4) * a;
      return 0;
    },
  },
};

/** Squeeze an image of RGB or RGBA bytes, whose alpha is left out, into a square of RGB bytes. */
export function resizeToSquare(
  image: Uint8Array | Uint8ClampedArray,
  width: number,
  height: number,
  px: number,
  interpolation: Interpolation,
): Uint8Array {
  const filter = FILTERS[interpolation];
  const channels = image.length / (width * height);
  // Clamped arrays cut off what a bicubic filter puts below 0 or above 255.
  const across = new Uint8ClampedArray(height * px * 3);
  const columns = weights(width, px, filter);
  for (let row = 0, to = 0; row < height; row++)
    for (const { first, shares } of columns) {
      let r = HALF;
      let g = HALF;
      let b = HALF;
      for (let i = 0, at = (row * width + first) * channels; i < shares.length; i++, at += channels) {
        const share = shares[i]!;
        r += image[at]! * share;
        g += image[at + 1]! * share;
        b += image[at + 2]! * share;
      }
      across[to++] = r >> PRECISION;
      across[to++] = g >> PRECISION;
      across[to++] = b >> PRECISION;
    }
  const square = new Uint8ClampedArray(px * px * 3);
  let to = 0;
  for (const { first, shares } of weights(height, px, filter))
    for (let place = 0; place < px * 3; place++) {
      let value = HALF;
      for (let i = 0, at = first * px * 3 + place; i < shares.length; i++, at += px * 3)
        value += across[at]! * shares[i]!;
      square[to++] = value >> PRECISION;
    }
  return new Uint8Array(square.buffer);
}

/** For each new place: the first old one that counts, and the share of each from there on. */
function weights(
  size: number,
  newSize: number,
  filter: Filter,
): { first: number; shares: Int32Array }[] {
  const scale = size / newSize;
  const wide = Math.max(scale, 1);
  const support = filter.support * wide;
  return Array.from({ length: newSize }, (_, place) => {
    const centre = (place + 0.5) * scale;
    const first = Math.max(Math.trunc(centre - support + 0.5), 0);
    const end = Math.min(Math.trunc(centre + support + 0.5), size);
    const exact = Array.from({ length: end - first }, (_, i) =>
      filter.weight((i + first - centre + 0.5) * (1 / wide)),
    );
    const total = exact.reduce((sum, share) => sum + share, 0);
    const shares = exact.map((share) => {
      const scaled = (share / total) * (1 << PRECISION);
      return Math.trunc(scaled < 0 ? scaled - 0.5 : scaled + 0.5);
    });
    return { first, shares: Int32Array.from(shares) };
  });
}
