// The shared look: the frozen network's features of an image made small, the same for all domains.

import type { Description } from "./description";
import { FEATURES, HEAD_BIAS, HEAD_WEIGHT, IMAGES, inPieces, pixels, rows, type ReadFile } from "./model";
import { resizeToSquare } from "./resize";
import { Session, floats } from "./runtime";

export class Look {
  private session: Session | undefined;

  constructor(
    private readonly description: Description,
    private readonly read: ReadFile,
  ) {}

  /** Return the frozen features of images, RGB bytes (px, px, 3) each. */
  async features(images: Uint8Array[], px: number): Promise<Float32Array[]> {
    const { backbone, graphs } = this.description;
    const { image_px: lookPx, recognising, at_once: atOnce } = graphs.look;
    this.session ??= await Session.create(await this.read(recognising), {
      path: graphs.weights,
      data: await this.read(graphs.weights),
    });
    const found: Float32Array[] = [];
    for (const [few] of inPieces(images, atOnce)) {
      const small = few.map((image) => resizeToSquare(image, px, px, lookPx, backbone.interpolation));
      const inputs = {
        [IMAGES!]: pixels(small, lookPx),
        [HEAD_WEIGHT!]: floats(new Float32Array(backbone.features), 1, backbone.features),
        [HEAD_BIAS!]: floats(new Float32Array(1), 1),
      };
      found.push(...rows((await this.session.run(inputs, [FEATURES!]))[FEATURES!]!, few.length));
    }
    return found;
  }

  /** Let go of the session and its memory. */
  async rest(): Promise<void> {
    await this.session?.release();
    this.session = undefined;
  }
}
