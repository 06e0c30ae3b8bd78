// Random changes of images that leave their class as it is; addapt.images.vary does the same.

import { Chance, VARIATION, roundHalfEven } from "./chance";
import type { Augmentation } from "./description";

export const DRAWS = 7; // random numbers an image
const FRACTION = 13;
const ONE = 1 << FRACTION; // places between pixels are whole numbers of 1 / ONE pixel

/** Draw the random numbers of a step's images, one row of `DRAWS` each. */
export function drawVariation(seed: number, step: number, images: number): Float32Array {
  return new Chance(seed, VARIATION, step).uniform(images * DRAWS);
}

/**
 * Change one image, RGB bytes (px, px, 3): an affine map about its centre, then brightness, then
 * contrast about its mean. Outside the image its border is repeated.
 */
export function vary(
  image: Uint8Array,
  px: number,
  how: Augmentation,
  draws: ArrayLike<number>,
): Uint8Array {
  const signed = Array.from({ length: DRAWS }, (_, i) => draws[i]! * 2 - 1) as number[];
  const factor = 1 / (1 + how.zoom * signed[0]!); // from new to old: hence divided by the zoom
  const angle = ((how.rotate_degrees * Math.PI) / 180) * signed[1]!;
  const mirror = how.flip && draws[4]! < 0.5 ? -1 : 1;
  const [cos, sin] = [factor * Math.cos(angle), factor * Math.sin(angle)];
  const middle = (px - 1) / 2;
  const originX = middle + how.shift * px * signed[2]!;
  const originY = middle + how.shift * px * signed[3]!;
  const fixed = (of: (place: number) => number): Int32Array =>
    Int32Array.from({ length: px }, (_, place) => roundHalfEven(of(place) * ONE));
  const columnX = fixed((x) => cos * mirror * (x - middle) + originX);
  const columnY = fixed((x) => sin * mirror * (x - middle) + originY);
  const rowX = fixed((y) => -sin * (y - middle));
  const rowY = fixed((y) => cos * (y - middle));

  const values = new Float32Array(image.length);
  const most = (px - 1) * ONE;
  let total = 0;
  let at = 0;
  for (let row = 0; row < px; row++) {
    for (let column = 0; column < px; column++) {
      const x = Math.min(Math.max(columnX[column]! + rowX[row]!, 0), most);
      const y = Math.min(Math.max(columnY[column]! + rowY[row]!, 0), most);
      const right = x & (ONE - 1);
      const below = y & (ONE - 1);
      const both = (right * below) >> FRACTION;
      const here = ONE - right - below + both;
      const first = ((y >> FRACTION) * px + (x >> FRACTION)) * 3;
      // Where there is no neighbour its weight is 0.
      const toRight = right ? 3 : 0;
      const toBelow = below ? 3 * px : 0;
      for (let channel = 0; channel < 3; channel++) {
        const place = first + channel;
        const value =
          image[place]! * here +
          image[place + toRight]! * (right - both) +
          image[place + toBelow]! * (below - both) +
          image[place + toRight + toBelow]! * both;
        total += value;
        values[at++] = value;
      }
    }
  }
  return adjusted(values, total / values.length, how, signed);
}

/** Multiply values, then their distances from the mean; they come as multiples of 1 / ONE. */
function adjusted(
  values: Float32Array,
  mean: number,
  how: Augmentation,
  signed: number[],
): Uint8Array {
  const brightness = 1 + how.brightness * signed[5]!;
  const contrast = 1 + how.contrast * signed[6]!;
  const factor = Math.fround((brightness * contrast) / ONE);
  const offset = Math.fround(mean * (brightness / ONE) * (1 - contrast) + 0.5);
  const varied = new Uint8Array(values.length);
  for (let i = 0; i < values.length; i++) {
    const value = Math.fround(Math.fround(values[i]! * factor) + offset);
    varied[i] = Math.min(Math.max(value, 0), 255.5);
  }
  return varied;
}
