// Teaching the domain at hand: begun, paused, gone on with after the tab was closed, and learned on.

import { Refusal } from "../engine/description";
import type { EpochRecord, LearningState } from "../engine/learning";
import type { Progress } from "../engine/requests";
import type { ImageEntry, RunEntry } from "../storage";
import type { Context, Part } from "./context";
import { attempt, button, byId, make, percent, say } from "./elements";

const SVG = "http://www.w3.org/2000/svg";
const [CURVE_WIDTH, CURVE_HEIGHT] = [300, 80];

export class Teaching implements Part {
  private readonly size = make("select", { id: "size" });
  private readonly teachButton = button("Teach", () => attempt(() => this.teach(false)), { class: "strong" });
  private readonly goOnButton = button("Learn on", () => attempt(() => this.teach(true)), {
    title: "Start from what the domain knows: more images, or new classes",
  });
  private readonly pauseButton = button("Pause", () => void this.context.engine.ask("pause", null));
  private readonly progress = make("progress", { "aria-label": "Progress of teaching" });
  private readonly words = make("p", { id: "progress-words" });
  private readonly curve = document.createElementNS(SVG, "svg");
  private readonly legend = make("p", { class: "soft" }, ["Recognised of the images held out, pass by pass"]);
  private readonly result = make("p", { id: "result" });
  private unfinished: RunEntry | undefined;
  private shownDomain = -1;

  constructor(private readonly context: Context) {
    for (const { image_px: px } of context.description.graphs.sizes)
      this.size.append(make("option", { value: String(px) }, [`${px} px`]));
    this.size.addEventListener("change", () =>
      attempt(() => {
        const imagePx = Number(this.size.value);
        return this.context.change((entry) => ({ ...entry, imagePx }));
      }),
    );
    this.curve.setAttribute("class", "curve");
    this.curve.setAttribute("viewBox", `0 0 ${CURVE_WIDTH} ${CURVE_HEIGHT}`);
    this.curve.setAttribute("role", "img");
    byId("teach").append(
      make("div", { class: "row" }, [
        make("label", { for: "size" }, ["Images of"]),
        this.size,
        make("span", { class: "soft" }, ["larger ones tell more, and take longer"]),
      ]),
      make("p", { class: "row" }, [this.teachButton, this.goOnButton, this.pauseButton]),
      this.progress,
      this.words,
      this.curve,
      this.legend,
      this.result,
    );
  }

  show(): void {
    const { domain, isTeaching } = this.context;
    this.size.value = String(domain.imagePx);
    this.size.disabled = isTeaching;
    this.pauseButton.hidden = this.progress.hidden = !isTeaching;
    if (isTeaching) {
      this.teachButton.hidden = this.goOnButton.hidden = true;
      return;
    }
    this.words.textContent = "";
    const { learned } = domain;
    this.result.textContent = learned
      ? `Knows ${learned.info.classes.length} classes. Of ${learned.info.val_images} images held out it ` +
        `recognised ${percent(learned.info.val_accuracy)}.`
      : "";
    if (domain.id !== this.shownDomain) this.draw([]);
    this.shownDomain = domain.id;
    this.teachButton.hidden = false;
    this.goOnButton.hidden = !this.canGoOn();
    void this.context.storage.run(domain.id).then((run) => {
      if (this.context.domain.id !== domain.id || this.context.isTeaching) return;
      this.unfinished = run && run.about === this.about(run.goesOn) ? run : undefined;
      this.teachButton.textContent = this.unfinished ? "Go on teaching" : learned ? "Teach anew" : "Teach";
      if (this.unfinished) {
        this.goOnButton.hidden = true;
        this.draw(this.unfinished.state.history);
        this.words.textContent = `Paused after step ${this.unfinished.state.step}.`;
      }
    });
  }

  private async teach(goesOn: boolean): Promise<void> {
    const { domain } = this.context;
    const run = this.unfinished;
    const learnsOn = run?.goesOn ?? goesOn;
    const empty = domain.classes.find(({ id }) => !this.context.imagesOf(id).length);
    if (learnsOn && empty)
      throw new Refusal(
        `The class “${empty.name}” has no image. Learning on needs images of every class: ` +
          "the old ones would be forgotten without.",
      );
    await this.locked(() => this.run(learnsOn, run?.state ?? null, this.about(learnsOn)), domain.id);
  }

  /** Do it in this tab only: another one would teach the same domain over it. */
  private async locked(work: () => Promise<void>, id: number): Promise<void> {
    await navigator.locks.request(`addapt teach ${id}`, { ifAvailable: true }, async (lock) => {
      if (!lock) throw new Refusal("This domain is being taught in another tab.");
      await work();
    });
  }

  private async run(goesOn: boolean, state: LearningState | null, about: string): Promise<void> {
    const { engine, storage, domain } = this.context;
    const images = this.ordered();
    this.context.setTeaching(true);
    say("Teaching …");
    const started = performance.now();
    let first = state?.step ?? 0;
    try {
      const order = {
        classes: domain.classes.map(({ name }) => name),
        imagePx: domain.imagePx,
        images: images.map(({ file }) => file),
        labels: images.map(({ classId }) => domain.classes.findIndex(({ id }) => id === classId)),
        from: goesOn ? domain.learned : null,
        state,
        run: { domain: domain.id, about, goesOn },
      };
      const taught = await engine.ask("teach", order, (progress) => {
        this.tell(progress, first, started);
        if (progress.phase === "reading") first = state?.step ?? 0;
      });
      if (taught.domain) {
        await storage.finish(domain.id, taught.domain);
        const { meaning } = taught.domain.info.val_report;
        const warnings = [...taught.warnings, ...(typeof meaning === "string" ? [meaning] : [])];
        say(["Taught.", ...warnings].join(" "));
      } else {
        say("Paused: it goes on from here, even after the tab was closed.");
      }
    } finally {
      this.context.isTeaching = false;
      await this.context.refresh();
    }
  }

  private tell({ phase, done, of, history }: Progress, first: number, started: number): void {
    this.progress.max = of;
    this.progress.value = done;
    const seconds = (performance.now() - started) / 1000;
    const left = Math.ceil((seconds / Math.max(1, done - first)) * (of - done));
    const accuracy = history.at(-1)?.val_accuracy;
    this.words.textContent =
      phase === "reading"
        ? `Reading image ${done} of ${of}`
        : phase === "signing"
          ? `Looking what its images are like: ${done} of ${of}`
          : `Step ${done} of ${of}, about ${left < 90 ? `${left} s` : `${Math.round(left / 60)} min`} left` +
          (accuracy === undefined ? "" : `; recognised of the images held out: ${percent(accuracy)}`);
    this.draw(history);
  }

  /** Draw the share of recognised images epoch by epoch. */
  private draw(history: readonly EpochRecord[]): void {
    for (const part of [this.curve, this.legend]) part.toggleAttribute("hidden", !history.length);
    if (!history.length) return this.curve.replaceChildren();
    const accuracies = history.map((record) => record.val_accuracy);
    const step = CURVE_WIDTH / Math.max(1, accuracies.length - 1);
    const points = accuracies.map((share, i) => `${i * step},${(1 - share) * CURVE_HEIGHT}`);
    if (points.length === 1) points.push(`${CURVE_WIDTH},${(1 - accuracies[0]!) * CURVE_HEIGHT}`);
    const frame = document.createElementNS(SVG, "path");
    frame.setAttribute("d", `M0 0V${CURVE_HEIGHT}H${CURVE_WIDTH}`);
    const line = document.createElementNS(SVG, "polyline");
    line.setAttribute("points", points.join(" "));
    this.curve.setAttribute(
      "aria-label",
      `Accuracy after each of ${accuracies.length} passes, from ${percent(accuracies[0]!)} to ` +
        percent(accuracies.at(-1)!),
    );
    this.curve.replaceChildren(frame, line);
  }

  /** The images class by class, in the order in which they came. */
  private ordered(): ImageEntry[] {
    return this.context.domain.classes.flatMap(({ id }) => this.context.imagesOf(id));
  }

  /** Whether the classes that the domain knows are still there, new ones behind them. */
  private canGoOn(): boolean {
    const { learned, classes, imagePx } = this.context.domain;
    return (
      learned !== null &&
      learned.info.image_px === imagePx &&
      learned.info.classes.every((name, place) => classes[place]?.name === name)
    );
  }

  /** Everything that a run depends on: only the very same goes on. */
  private about(goesOn: boolean): string {
    const { domain, description } = this.context;
    return JSON.stringify([
      description.backbone.weights_sha256,
      description.method,
      description.hyperparameters,
      domain.imagePx,
      domain.classes,
      this.ordered().map(({ id, classId }) => [id, classId]),
      goesOn ? domain.learned?.info.date : null,
    ]);
  }
}
