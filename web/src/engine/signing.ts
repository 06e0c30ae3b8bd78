// How a domain's signature is made: from images it has learned from, and measured on others;
// addapt.learning.signing does the same.

import type { Description } from "./description";
import type { Part } from "./lesson";
import type { Look } from "./look";
import { inPieces, type Model } from "./model";
import { distanceFrom, fitPlane, spreadOf } from "./plane";
import type { Signature } from "./signature";

const BATCH = 8; // images between two reports

/**
 * Make the signature of a domain that `model` has learned from images.
 *
 * `heldOut` are the adapted features of images that it has not learned from. `tell` hears how many of
 * how many images have been looked at; what it throws ends the work.
 */
export async function sign(
  { signature: counts, graphs }: Description,
  model: Model,
  look: Look,
  images: Uint8Array[],
  heldOut: Float32Array[],
  tell: (done: number, of: number) => Promise<void> = async () => undefined,
): Promise<Signature> {
  const asked = some(images, counts.answer_images);
  const lookedAt = some(images, counts.look_images);
  const of = asked.length + lookedAt.length;
  const gather = async (
    wanted: Uint8Array[],
    featuresOf: (few: Uint8Array[]) => Promise<Float32Array[]>,
    before: number,
  ): Promise<Float32Array[]> => {
    const found: Float32Array[] = [];
    for (const [few] of inPieces(wanted, BATCH)) {
      found.push(...(await featuresOf(few)));
      await tell(before + found.length, of);
    }
    return found;
  };
  const adapted = await gather(
    asked,
    async (few) => (await model.answers(few)).map(({ features }) => features),
    0,
  );
  await model.rest(); // one network is in memory at once
  const frozen = await gather(lookedAt, (few) => look.features(few, model.imagePx), adapted.length);
  await look.rest();
  const answer = fitPlane(adapted);
  const spread = spreadOf(heldOut.map((features) => distanceFrom(answer, features)));
  return { look_px: graphs.look.image_px, look: fitPlane(frozen), answer, spread };
}

/** Return images to measure a signature on: all, unless there are very many. */
export function someHeldOut({ images, labels }: Part, most: number): Part {
  return { images: some(images, most), labels: some(labels, most) };
}

/** Return at most so many items, evenly taken, so that all classes have their share. */
function some<Item>(items: Item[], most: number): Item[] {
  if (items.length <= most) return items;
  const last = items.length - 1;
  const step = last / (most - 1);
  return Array.from({ length: most }, (_, i) => items[i === most - 1 ? last : Math.trunc(i * step)]!);
}
