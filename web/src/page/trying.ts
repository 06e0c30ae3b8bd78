// What the domain at hand says of the camera's frames, and of files.

import { Refusal } from "../engine/description";
import type { Domain } from "../engine/domain_file";
import type { Answer } from "../engine/requests";
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
  private isLooking = false;

  constructor(private readonly context: Context) {
    this.input.addEventListener("change", () => {
      const files = filesOf(this.input.files!).map(({ file, name }) => ({ file, name }));
      void attempt(() => this.tryFiles(files)).then(() => (this.input.value = ""));
    });
    byId("try").append(
      this.hint,
      make("span", { class: "file" }, ["Try with files", this.input]),
      this.tried,
    );
  }

  show(): void {
    const { domain, isTeaching, camera } = this.context;
    this.input.disabled = isTeaching || !domain.learned;
    this.hint.textContent = isTeaching
      ? "While it is taught, the domain answers nothing."
      : !domain.learned
        ? "Teach the domain first, or import one."
        : camera.isOn
          ? "What the camera shows is answered below its picture."
          : "Switch the camera on, or choose files.";
    if (isTeaching || !domain.learned || !camera.isOn) this.live.replaceChildren();
    if (!domain.learned) this.tried.replaceChildren();
    void attempt(() => this.look());
  }

  /** Answer frame after frame, one at a time, as long as there is a camera and a domain. */
  private async look(): Promise<void> {
    if (this.isLooking) return;
    this.isLooking = true;
    try {
      for (;;) {
        const { domain, isTeaching, camera } = this.context;
        if (!domain.learned || isTeaching || !camera.isOn) return;
        const frame = await camera.frame();
        if (frame) {
          const answer = await this.ask(domain.learned, frame);
          if (this.context.domain.id === domain.id && this.context.camera.isOn)
            this.live.replaceChildren(this.answer(domain.learned, answer));
        }
        await new Promise((resume) => requestAnimationFrame(resume));
      }
    } finally {
      this.isLooking = false;
    }
  }

  private async tryFiles(files: { file: Blob; name: string }[]): Promise<void> {
    const { domain } = this.context;
    const { learned } = domain;
    if (!learned) throw new Refusal("Teach the domain first, or import one.");
    if (files.length > MOST_FILES)
      throw new Refusal(`${files.length} files: try ${MOST_FILES} at most; the shell takes any number.`);
    this.forgetTried();
    const wrong: string[] = [];
    for (const { file, name } of files) {
      if (!(await this.context.engine.ask("isImage", file))) {
        wrong.push(name);
        continue;
      }
      const answer = await this.ask(learned, file);
      const image = make("img", { src: URL.createObjectURL(file), alt: name });
      this.tried.append(make("div", { class: "tried" }, [image, this.answer(learned, answer)]));
    }
    if (wrong.length) throw new Refusal(unreadable(wrong));
  }

  private forgetTried(): void {
    for (const image of this.tried.querySelectorAll("img")) URL.revokeObjectURL(image.src);
    this.tried.replaceChildren();
  }

  private ask(domain: Domain, image: Blob | ImageBitmap): Promise<Answer> {
    const key = `${this.context.domain.id} ${domain.info.date}`;
    return this.context.engine.ask("recognise", { domain, key, image });
  }

  private answer(domain: Domain, { probabilities, distance, ms }: Answer): HTMLElement {
    const ranked = [...probabilities.entries()].sort(([, a], [, b]) => b - a).slice(0, TOP);
    if (distance !== null && distance > LIMIT) {
      const [label, share] = ranked[0]!;
      const nearest = `${domain.info.classes[label]!}, ${percent(share)}, comes nearest`;
      return make("div", {}, [
        make("strong", {}, [NONE]),
        make("p", { class: "soft" }, [
          `${nearest}, but the image is ${distance.toFixed(1)} off: ${LIMIT} is the limit. ${Math.round(ms)} ms`,
        ]),
      ]);
    }
    const rows = ranked.flatMap(([label, share], place) => {
      const name = domain.info.classes[label]!;
      return [
        make(place ? "span" : "strong", {}, [name]),
        make("meter", { value: String(share), "aria-label": `Probability of ${name}` }),
        make("span", {}, [percent(share)]),
      ];
    });
    return make("div", {}, [
      make("div", { class: "answers" }, rows),
      make("p", { class: "soft" }, [`${Math.round(ms)} ms`]),
    ]);
  }
}
