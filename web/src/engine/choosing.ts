// Which domains may be meant; addapt.learning.recognising does the same.

const NEARLY = 1.05; // times as far as the nearest domain: asked as well
const MOST_ASKED = 3;

/** Return the places of the domains to ask, the nearest first, of how far an image is from each. */
export function candidates(looks: number[]): number[] {
  const order = looks.map((_, place) => place).sort((a, b) => looks[a]! - looks[b]!);
  const nearest = looks[order[0]!]!;
  return order.slice(0, MOST_ASKED).filter((place) => looks[place]! <= NEARLY * nearest);
}
