// The button that takes images by the camera as long as it is held.

import { Refusal } from "../engine/description";
import type { ClassEntry } from "../storage";
import type { Context } from "./context";
import { attempt, make } from "./elements";

const FRAME_MS = 150; // between two images
const WORDS = "Hold to take images";

/** Return it; it works by touch, mouse, space or enter, and gives what was taken when it is let go. */
export function holdButton(
  { camera, engine }: Context,
  entry: ClassEntry,
  give: (files: Blob[]) => Promise<void>,
): HTMLButtonElement {
  const hold = make("button", { type: "button", class: "hold", id: `hold-${entry.id}` }, [WORDS]);
  hold.setAttribute("aria-label", `Hold to take images of ${entry.name}`);
  let isHeld = false;
  const take = async (): Promise<void> => {
    if (isHeld) return;
    if (!camera.isOn) throw new Refusal("Switch the camera on first.");
    isHeld = true;
    const taken: Blob[] = [];
    try {
      while (isHeld && camera.isOn) {
        const frame = await camera.frame();
        if (frame) taken.push(await engine.ask("jpeg", frame));
        hold.textContent = `Taken: ${taken.length}`;
        await new Promise((resume) => setTimeout(resume, FRAME_MS));
      }
    } finally {
      isHeld = false;
      hold.textContent = WORDS;
    }
    await give(taken);
  };
  hold.addEventListener("pointerdown", (event) => {
    hold.setPointerCapture(event.pointerId); // so that its end is heard wherever it is
    void attempt(take);
  });
  for (const kind of ["pointerup", "pointercancel", "blur", "keyup"] as const)
    hold.addEventListener(kind, () => (isHeld = false));
  hold.addEventListener("keydown", (event) => {
    if (event.key !== " " && event.key !== "Enter") return;
    event.preventDefault();
    if (!event.repeat) void attempt(take);
  });
  hold.addEventListener("contextmenu", (event) => event.preventDefault()); // a long touch
  return hold;
}
