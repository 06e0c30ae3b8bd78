// The domains of the device that serves the page: tried, downloaded, and taught there.
//
// Shown only if the server offers them; it needs neither this browser's storage nor its engine.

import { checkClassName } from "../engine/class_names";
import { Refusal } from "../engine/description";
import type { Context } from "./context";
import { attempt, button, byId, make, percent, say } from "./elements";
import { filesOf, likelyImages } from "./files";

interface Offered {
  name: string;
  classes: string[];
  images: number;
  accuracy: number;
  problem?: string;
}

/** As src/addapt/page/teaching.py tells it. */
interface Lesson {
  state: "idle" | "learning" | "learned" | "stopped" | "failed";
  name: string;
  phase: string;
  done: number;
  total: number;
  accuracy: number | null;
  seconds_left: number | null;
  words: string;
}

interface Recognition {
  domain: string | null;
  nearest: string;
  top: [label: string, probability: number][];
}

interface Image {
  label: string;
  file: Blob;
}

export class Device {
  context: Context | undefined; // none where the browser gives the page no storage
  private readonly list = make("div", { id: "device-domains" });
  private readonly tried = make("p", { id: "device-tried" });
  private readonly name = make("input", { id: "device-name", maxlength: "64" });
  private readonly progress = make("progress", { "aria-label": "Progress of teaching on the device" });
  private readonly words = make("p", { id: "device-words" });
  private readonly stopButton = button("Stop", () => attempt(() => this.stop()));
  private readonly goOnButton = button("Go on", () => attempt(() => this.begin({ name: this.lesson!.name })));
  private readonly folders = make("input", { type: "file", multiple: true, "aria-label": "Teach class folders on the device" });
  private lesson: Lesson | undefined;

  /** Show the section if there is a device that offers its domains. */
  async open(): Promise<void> {
    // A file of the page says no; the server of a device says yes in its place.
    const told = await fetch("device.json").catch(() => undefined);
    if (!told?.ok || !((await told.json()) as { offered: boolean }).offered) return;
    const response = await fetch("api/store").catch(() => undefined);
    if (response?.status === 403) say(((await response.json()) as { error: string }).error, "error");
    if (!response?.ok) return;
    this.build();
    await this.refresh();
    const events = new EventSource("api/learning");
    events.onmessage = ({ data }: MessageEvent<string>) => this.tell(JSON.parse(data) as Lesson);
  }

  private build(): void {
    this.folders.webkitdirectory = true;
    this.folders.addEventListener("change", () => {
      const { images } = likelyImages(filesOf(this.folders.files!));
      const labelled = images.map(({ file, folder }) => ({ file, label: folder }));
      void attempt(() => this.teach(labelled)).then(() => (this.folders.value = ""));
    });
    const title = make("h2", { id: "device-title" }, ["On the device"]);
    const section = make("section", { id: "device", "aria-labelledby": "device-title" }, [
      title,
      make("p", { class: "soft" }, [`These domains are kept by ${location.host}. What is tried or taught here is sent there.`]),
      this.list,
      this.tried,
      make("div", { class: "row" }, [
        make("label", { for: "device-name" }, ["Name"]),
        this.name,
        button("Teach the images above", () => attempt(() => this.teachThose())),
        make("span", { class: "file" }, ["Teach class folders", this.folders]),
      ]),
      this.progress,
      this.words,
      make("p", { class: "row" }, [this.stopButton, this.goOnButton]),
    ]);
    byId("footer").before(section);
  }

  private async refresh(): Promise<void> {
    const { domains } = (await ask("GET", "api/store")) as { domains: Offered[] };
    const cards = domains.map((domain) => this.card(domain));
    this.list.replaceChildren(...(cards.length ? cards : ["No domain yet."]));
  }

  private card({ name, classes, images, accuracy, problem }: Offered): HTMLElement {
    const file = `${encodeURIComponent(name)}.safetensors`;
    const input = make("input", { type: "file", accept: "image/*", "aria-label": `Try ${name} on the device` });
    input.addEventListener("change", () => {
      const [image] = input.files ?? [];
      if (image) void attempt(() => this.try(name, image)).then(() => (input.value = ""));
    });
    const about = problem ?? `${classes.join(", ")}: ${percent(accuracy)} of ${images} images`;
    return make("article", { class: "card" }, [
      make("h3", {}, [name]),
      make("p", {}, [about]),
      make("div", { class: "row" }, [
        ...(problem ? [] : [make("span", { class: "file" }, ["Try", input])]),
        make("a", { href: `api/domains/${file}`, download: file }, ["Download"]),
      ]),
    ]);
  }

  private async try(name: string, image: Blob): Promise<void> {
    const path = `api/try?domain=${encodeURIComponent(name)}`;
    const { domain, nearest, top } = (await ask("POST", path, image)) as Recognition;
    const ranked = top.map(([label, share]) => `${label} ${percent(share)}`).join(", ");
    this.tried.textContent = domain === null ? `None of these (nearest: ${nearest}, ${ranked})` : `${domain}: ${ranked}`;
  }

  private async teachThose(): Promise<void> {
    if (!this.context?.images.length) throw new Refusal("Add images above first, or choose class folders.");
    const { domain } = this.context;
    const labels = new Map(domain.classes.map(({ id, name }) => [id, name]));
    this.name.value ||= domain.name;
    await this.teach(this.context.images.map(({ file, classId }) => ({ file, label: labels.get(classId)! })));
  }

  /** Send images one by one, then have the device begin. */
  private async teach(images: Image[]): Promise<void> {
    const name = this.name.value.trim();
    if (!name) throw new Refusal("Give the domain a name first.");
    if (this.lesson?.state === "learning") throw new Refusal(`${this.lesson.name} is being taught: stop it first, or wait.`);
    for (const { label } of images) checkClassName(label);
    const { domains } = (await ask("GET", "api/store")) as { domains: Offered[] };
    const restart = domains.some((each) => each.name === name);
    if (restart && !confirm(`The device has a domain ${name}. Teach it anew?`)) return;
    const place = `api/images/${encodeURIComponent(name)}`;
    await ask("DELETE", place);
    for (const [number, { label, file }] of images.entries()) {
      say(`Sending image ${number + 1} of ${images.length}`);
      await ask("PUT", `${place}/${encodeURIComponent(label)}/${number}`, file);
    }
    say("All images are sent. The device goes on even if this page is closed.");
    await this.begin({ name, images: images.length, restart });
  }

  private async begin(order: { name: string; images?: number; restart?: boolean }): Promise<void> {
    await ask("POST", "api/learning", JSON.stringify(order));
  }

  private async stop(): Promise<void> {
    await ask("DELETE", "api/learning");
  }

  private tell(lesson: Lesson): void {
    const isNews = this.lesson !== undefined && this.lesson.state !== lesson.state;
    this.lesson = lesson;
    const { state, name, phase, done, total, accuracy, seconds_left: left, words } = lesson;
    this.progress.hidden = this.stopButton.hidden = state !== "learning";
    this.goOnButton.hidden = state !== "stopped";
    this.progress.max = total || 1;
    this.progress.value = done;
    const held = accuracy === null ? "" : `; recognised of the images held out: ${percent(accuracy)}`;
    const rest = left === null ? "" : `, about ${left < 90 ? `${Math.ceil(left)} s` : `${Math.round(left / 60)} min`} left`;
    this.words.textContent = {
      idle: "",
      learning: `${name}: ${phase || "beginning"} ${done} of ${total}${rest}${held}`,
      learned: `${name} is learned${held}. ${words}`,
      stopped: `${name}: ${words}`,
      failed: `${name} was not learned. ${words}`,
    }[state];
    if (isNews && state === "learned") void attempt(() => this.refresh());
  }
}

/** Ask the device; what it refuses is an error in its words. */
async function ask(method: string, path: string, body: Blob | string | null = null): Promise<unknown> {
  let response: Response;
  try {
    response = await fetch(path, { method, body });
  } catch {
    throw new Refusal("The device does not answer: is addapt serve still running?");
  }
  const answer = (await response.json()) as { error?: string };
  if (!response.ok) throw new Refusal(answer.error ?? `The device answered ${response.status}.`);
  return answer;
}
