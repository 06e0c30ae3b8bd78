// What the domain at hand, or any that is here, says of the camera's frames, and of files.

import { Refusal } from "../engine/description";
import type { Answer, Known } from "../engine/requests";
import type { Context, Part } from "./context";
import { attempt, byId, make, percent } from "./elements";
import { filesOf, unreadable } from "./files";

const TOP = 5;
const MOST_FILES = 100;
const LIMIT = 1; // of the distance: beyond it lies one of twenty images of the domain itself
const NONE = "none of these";

export class Trying implements Part {
  private readonly live = byId("live"); // below the camera's picture
  private readonly tried = make("div", { id: "tried" });
  private readonly hint = make("p", { class: "soft" });
  private readonly input = make("input", {
    type: "file",
    multiple: true,
    accept: "image/*",
    id: "try-files",
    "aria-label": "Try with files",
  });
  private readonly any = make("input", { type: "checkbox", id: "try-any" });
  private isLooking = false;

  constructor(private readonly context: Context) {
    this.input.addEventListener("change", () => {
      const files = filesOf(this.input.files!).map(({ file, name }) => ({ file, name }));
      void attempt(() => this.tryFiles(files)).then(() => (this.input.value = ""));
    });
    this.any.addEventListener("change", () => this.show());
    byId("try").append(
      this.hint,
      make("p", {}, [this.any, make("label", { for: "try-any" }, [" Any domain that is here"])]),
      make("span", { class: "file" }, ["Try with files", this.input]),
      this.tried,
    );
  }

  show(): void {
    const { isTeaching, camera } = this.context;
    const isKnown = this.asked !== undefined;
    this.input.disabled = isTeaching || !isKnown;
    this.hint.textContent = isTeaching
      ? "While it is taught, the domain answers nothing."
      : !isKnown
        ? "Teach the domain first, or import one."
        : camera.isOn
          ? "What the camera shows is answered below its picture."
          : "Switch the camera on, or choose files.";
    if (isTeaching || !isKnown || !camera.isOn) this.live.replaceChildren();
    if (!isKnown) this.tried.replaceChildren();
    void attempt(() => this.look());
  }

  /** Answer frame after frame, one at a time, as long as there is a camera and a domain. */
  private async look(): Promise<void> {
    if (this.isLooking) return;
    this.isLooking = true;
    try {
      for (;;) {
        const { domain, isTeaching, camera } = this.context;
        const { asked } = this;
        if (asked === undefined || isTeaching || !camera.isOn) return;
        const frame = await camera.frame();
        if (frame) {
          const answer = await this.ask(asked, frame);
          if (this.context.domain.id === domain.id && this.context.camera.isOn)
            this.live.replaceChildren(this.answer(answer));
        }
        await new Promise((resume) => requestAnimationFrame(resume));
      }
    } finally {
      this.isLooking = false;
    }
  }

  private async tryFiles(files: { file: Blob; name: string }[]): Promise<void> {
    const { asked } = this;
    if (asked === undefined) throw new Refusal("Teach the domain first, or import one.");
    if (files.length > MOST_FILES)
      throw new Refusal(`${files.length} files: try ${MOST_FILES} at most; the shell takes any number.`);
    this.forgetTried();
    const wrong: string[] = [];
    for (const { file, name } of files) {
      if (!(await this.context.engine.ask("isImage", file))) {
        wrong.push(name);
        continue;
      }
      const answer = await this.ask(asked, file);
      const image = make("img", { src: URL.createObjectURL(file), alt: name });
      this.tried.append(make("div", { class: "tried" }, [image, this.answer(answer)]));
    }
    if (wrong.length) throw new Refusal(unreadable(wrong));
  }

  private forgetTried(): void {
    for (const image of this.tried.querySelectorAll("img")) URL.revokeObjectURL(image.src);
    this.tried.replaceChildren();
  }

  /** The domain to ask; null if it is to be chosen among all, undefined if there is none. */
  private get asked(): Known | null | undefined {
    const { id, name, learned } = this.context.domain;
    if (this.any.checked) return null;
    return learned ? { id, name, learned } : undefined;
  }

  private ask(domain: Known | null, image: Blob | ImageBitmap): Promise<Answer> {
    const { engine } = this.context;
    return domain ? engine.ask("recognise", { domain, image }) : engine.ask("choose", image);
  }

  private answer({ name, classes, probabilities, distance, ms }: Answer): HTMLElement {
    const ranked = [...probabilities.entries()].sort(([, a], [, b]) => b - a).slice(0, TOP);
    if (distance !== null && distance > LIMIT) {
      const [label, share] = ranked[0]!;
      const nearest = `${name}: ${classes[label]!}, ${percent(share)}, comes nearest`;
      return make("div", {}, [
        make("strong", {}, [NONE]),
        make("p", { class: "soft" }, [
          `${nearest}, but the image is ${distance.toFixed(1)} off: ${LIMIT} is the limit. ${Math.round(ms)} ms`,
        ]),
      ]);
    }
    const rows = ranked.flatMap(([label, share], place) => {
      const word = classes[label]!;
      return [
        make(place ? "span" : "strong", {}, [word]),
        make("meter", { value: String(share), "aria-label": `Probability of ${word}` }),
        make("span", {}, [percent(share)]),
      ];
    });
    return make("div", {}, [
      make("div", { class: "answers" }, rows),
      make("p", { class: "soft" }, [`${name}, ${Math.round(ms)} ms`]),
    ]);
  }
}
