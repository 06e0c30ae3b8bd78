// The camera: one for all that asks for it.

import { Refusal } from "../engine/description";

const PROBLEMS: Record<string, string> = {
  NotAllowedError: "The camera may not be used: allow it in the browser's settings for this page.",
  NotFoundError: "There is no camera here: add images from files.",
  NotReadableError: "The camera is in use by another program: close that one.",
  OverconstrainedError: "There is no camera here that fits: add images from files.",
};

export class Camera {
  onEnd: () => void = () => undefined; // told when it ends by itself
  private stream: MediaStream | undefined;

  constructor(private readonly video: HTMLVideoElement) {}

  get isOn(): boolean {
    return this.stream?.active === true;
  }

  /** Switch it on; `facing` matters on phones, which have two. */
  async start(facing: "environment" | "user"): Promise<void> {
    this.stop();
    if (!navigator.mediaDevices)
      throw new Refusal("Browsers give the camera to pages over HTTPS, or of this machine, only.");
    try {
      this.stream = await navigator.mediaDevices.getUserMedia({
        video: { facingMode: facing, width: { ideal: 640 }, height: { ideal: 480 } },
      });
    } catch (error) {
      const { name, message } = error as DOMException;
      throw new Refusal(PROBLEMS[name] ?? `The camera cannot be used (${message}).`);
    }
    for (const track of this.stream.getTracks()) track.addEventListener("ended", () => this.onEnd());
    this.video.srcObject = this.stream;
    await this.video.play();
  }

  stop(): void {
    for (const track of this.stream?.getTracks() ?? []) track.stop();
    this.stream = undefined;
    this.video.srcObject = null;
  }

  /** Return what it shows now; undefined where it shows nothing yet. */
  async frame(): Promise<ImageBitmap | undefined> {
    if (!this.isOn || this.video.readyState < HTMLMediaElement.HAVE_CURRENT_DATA) return undefined;
    return createImageBitmap(this.video);
  }
}
