// What all parts of the page share: the domain at hand, and who is told when it changes.

import { Refusal, type Description } from "../engine/description";
import type { Camera } from "./camera";
import type { Engine } from "./engine";
import type { DomainEntry, ImageEntry, Storage } from "./storage";

/** A part of the page; it shows the domain at hand whenever that is another or has changed. */
export interface Part {
  show(): void;
}

export class Context {
  domain!: DomainEntry;
  images: ImageEntry[] = [];
  isTeaching = false;
  private readonly parts: Part[] = [];

  constructor(
    readonly engine: Engine,
    readonly storage: Storage,
    readonly camera: Camera,
    readonly description: Description,
  ) {}

  add(...parts: Part[]): void {
    this.parts.push(...parts);
  }

  /** Take a domain to hand, and read its images. */
  async choose(id: number): Promise<void> {
    const found = await this.storage.domain(id);
    if (!found) throw new Refusal("The domain is no longer there: another tab has deleted it.");
    this.domain = found;
    this.images = await this.storage.images(id);
    this.show();
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

  imagesOf(classId: number): ImageEntry[] {
    return this.images.filter((image) => image.classId === classId);
  }

  show(): void {
    for (const part of this.parts) part.show();
  }
}
