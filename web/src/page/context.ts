// What all parts of the page share: the domain at hand, and who is told when it changes.

import { Refusal, type Description } from "../engine/description";
import type { DomainEntry, ImageEntry, Storage } from "../storage";
import type { Camera } from "./camera";
import { attempt } from "./elements";
import type { Engine } from "./engine";

/** A part of the page; it shows the domain at hand whenever that is another or has changed. */
export interface Part {
  show(): void;
}

export class Context {
  domain!: DomainEntry;
  images: ImageEntry[] = [];
  isTeaching = false;
  begin!: () => Promise<void>; // with the first domain, or a new one
  private readonly parts: Part[] = [];
  private chosen = 0; // the domain that was asked for last
  private readonly tabs = new BroadcastChannel("addapt");

  constructor(
    readonly engine: Engine,
    readonly storage: Storage,
    readonly camera: Camera,
    readonly description: Description,
  ) {
    this.tabs.onmessage = () => this.follow();
    document.addEventListener("visibilitychange", () => {
      if (!document.hidden) this.follow(); // a hidden page may have been frozen
    });
  }

  add(...parts: Part[]): void {
    this.parts.push(...parts);
  }

  /** Take a domain to hand, and read its images; other tabs may show it, too. */
  async choose(id: number): Promise<void> {
    this.chosen = id;
    await this.read(id);
    this.tabs.postMessage(id);
  }

  /** Change what is kept of the domain at hand. */
  async change(edit: (entry: DomainEntry) => DomainEntry): Promise<void> {
    await this.storage.changeDomain(this.domain.id, edit);
    await this.refresh();
  }

  /** Read the domain at hand again, after its images have changed. */
  async refresh(): Promise<void> {
    await this.choose(this.domain.id);
  }

  setTeaching(isTeaching: boolean): void {
    this.isTeaching = isTeaching;
    this.show();
  }

  /** Show what another tab has changed. */
  private follow(): void {
    if (this.domain && !this.isTeaching) void attempt(() => this.read(this.chosen));
  }

  private async read(id: number): Promise<void> {
    const found = await this.storage.domain(id);
    if (!found) {
      await this.begin();
      throw new Refusal("The domain is no longer there: it was deleted in another tab.");
    }
    const images = await this.storage.images(id);
    if (id !== this.chosen) return; // another was chosen meanwhile
    this.domain = found;
    this.images = images;
    this.show();
  }

  imagesOf(classId: number): ImageEntry[] {
    return this.images.filter((image) => image.classId === classId);
  }

  show(): void {
    for (const part of this.parts) part.show();
  }
}
