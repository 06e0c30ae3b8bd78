// A picture's file, or a frame of the camera, becomes RGB bytes; browsers only.

import { Refusal, type Description } from "./description";
import { resizeToSquare } from "./resize";

const MOST_PIXELS = 16_000_000; // of a canvas on some phones; larger images are drawn smaller
const JPEG_QUALITY = 0.92;

/** Decode an image and squeeze it into a square. */
export async function squareOf(
  image: Blob | ImageBitmap,
  px: number,
  { backbone }: Description,
): Promise<Uint8Array> {
  const { data, width, height } = await pixelsOf(image);
  return resizeToSquare(data, width, height, px, backbone.interpolation);
}

/** Decode an image upright, transparent parts white; a frame of the camera is closed. */
export async function pixelsOf(image: Blob | ImageBitmap): Promise<ImageData> {
  return draw(image instanceof ImageBitmap ? image : await decode(image)).pixels();
}

/** Make a JPEG of a frame of the camera. */
export async function jpegOf(frame: ImageBitmap): Promise<Blob> {
  return draw(frame).canvas.convertToBlob({ type: "image/jpeg", quality: JPEG_QUALITY });
}

/** Tell whether a file can be shown as an image. */
export async function isImage(file: Blob): Promise<boolean> {
  try {
    (await decode(file)).close();
    return true;
  } catch {
    return false;
  }
}

async function decode(file: Blob): Promise<ImageBitmap> {
  try {
    // As the shell does it: turned as the camera was held, and colours as they are in the file.
    return await createImageBitmap(file, {
      imageOrientation: "from-image",
      colorSpaceConversion: "none",
    });
  } catch {
    throw new Refusal("An image can no longer be read: delete it.");
  }
}

function draw(bitmap: ImageBitmap): { canvas: OffscreenCanvas; pixels: () => ImageData } {
  const share = Math.min(1, Math.sqrt(MOST_PIXELS / (bitmap.width * bitmap.height)));
  const width = Math.max(1, Math.floor(bitmap.width * share));
  const height = Math.max(1, Math.floor(bitmap.height * share));
  const canvas = new OffscreenCanvas(width, height);
  const context = canvas.getContext("2d", { willReadFrequently: true });
  if (!context) throw new Refusal("This browser cannot draw images in the background: update it.");
  context.fillStyle = "white";
  context.fillRect(0, 0, width, height);
  context.drawImage(bitmap, 0, 0, width, height);
  bitmap.close();
  return { canvas, pixels: () => context.getImageData(0, 0, width, height) };
}
