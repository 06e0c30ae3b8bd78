// Images that are there twice: a copy tells nothing of one that was learned from.

const TABLE = Uint32Array.from({ length: 256 }, (_, byte) => {
  for (let bit = 0; bit < 8; bit++) byte = byte & 1 ? (byte >>> 1) ^ 0xedb88320 : byte >>> 1;
  return byte;
});

/** The checksum by which a domain's file knows the images that were held out. */
export function crc32(bytes: Uint8Array): number {
  let crc = ~0;
  for (const byte of bytes) crc = TABLE[(crc ^ byte) & 255]! ^ (crc >>> 8);
  return ~crc >>> 0;
}

/** Return for each image the first that it is a copy of: itself if there is none before it. */
export function firstOfCopies(images: Uint8Array[], checksums: number[]): number[] {
  const known = new Map<number, number[]>();
  return images.map((image, i) => {
    const alike = known.get(checksums[i]!) ?? [];
    const first = alike.find((other) => isSame(images[other]!, image));
    if (first !== undefined) return first;
    known.set(checksums[i]!, [...alike, i]);
    return i;
  });
}

function isSame(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, i) => byte === b[i]);
}
