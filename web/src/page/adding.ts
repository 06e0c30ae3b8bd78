// Images that are added to classes: files, folders that are classes, and what the camera took.

import { checkClasses, checkClassName } from "../engine/class_names";
import { Refusal } from "../engine/description";
import type { ClassEntry } from "../storage";
import type { Context } from "./context";
import { say } from "./elements";
import { checkShown, likelyImages, MOST_FILES, unreadable, type Given } from "./files";

const AT_ONCE = 50; // images that are kept in one go

interface Found {
  kept: number;
  wrong: string[]; // names of what are no images
}

export class Adding {
  constructor(private readonly context: Context) {}

  /** Keep what the camera took. */
  async addTaken(files: Blob[], entry: ClassEntry): Promise<void> {
    void navigator.storage?.persist?.(); // so that nothing is thrown away unasked
    await this.context.storage.addImages(this.context.domain.id, entry.id, files);
    await this.context.refresh();
    this.told({ kept: files.length, wrong: [] }, entry.name);
  }

  /** Add files to a class. */
  async add(given: Given[], entry: ClassEntry): Promise<void> {
    this.told(await this.keepImages(given, entry), entry.name);
  }

  /** Add files by their folders, each of which is a class. */
  async addFolders(given: Given[]): Promise<void> {
    const byFolder = new Map<string, Given[]>();
    for (const each of likelyImages(given).images)
      byFolder.set(each.folder, [...(byFolder.get(each.folder) ?? []), each]);
    if (!byFolder.size) throw new Refusal("There are no images in what was given.");
    if (byFolder.has(""))
      throw new Refusal("Some of these images lie in no folder: drop them on the class they belong to.");
    checkShown(new Set([...this.context.domain.classes.map(({ name }) => name), ...byFolder.keys()]).size);
    const found: Found = { kept: 0, wrong: [] };
    const { id } = this.context.domain;
    for (const folder of [...byFolder.keys()].sort()) {
      if (this.context.domain.id !== id)
        throw new Refusal("Another domain was chosen meanwhile: the other folders were not added.");
      const { kept, wrong } = await this.keepImages(byFolder.get(folder)!, await this.classCalled(folder));
      found.kept += kept;
      found.wrong.push(...wrong);
    }
    await this.dropEmptyFirstClasses();
    this.told(found, byFolder.size === 1 ? "a class" : `${byFolder.size} classes`);
  }

  /** Look at files, and keep those that are images, in the order in which the shell has them. */
  private async keepImages(given: Given[], entry: ClassEntry): Promise<Found> {
    if (given.length > MOST_FILES)
      throw new Refusal(`${given.length} files at once: give ${MOST_FILES} at most.`);
    const { images, others } = likelyImages(given);
    images.sort((a, b) => (a.name < b.name ? -1 : 1));
    const found: Found = { kept: 0, wrong: others.map(({ name }) => name) };
    const { engine, storage, domain } = this.context; // another domain may be chosen meanwhile
    void navigator.storage?.persist?.();
    let good: Blob[] = [];
    try {
      for (const [number, { file, name }] of images.entries()) {
        if (await engine.ask("isImage", file)) good.push(file);
        else found.wrong.push(name);
        if (good.length < AT_ONCE && number < images.length - 1) continue;
        await storage.addImages(domain.id, entry.id, good);
        found.kept += good.length;
        good = [];
        say(`${entry.name}: looked at ${number + 1} of ${images.length} images.`);
      }
    } finally {
      await this.context.refresh(); // once, as it reads all images
    }
    return found;
  }

  private told({ kept, wrong }: Found, where: string): void {
    if (wrong.length) say(`${kept} images were added. ${unreadable(wrong)}`, "error");
    else say(`${kept === 1 ? "1 image was" : `${kept} images were`} added to ${where}.`);
  }

  /** Return the class of this name, made if there is none. */
  async classCalled(name: string): Promise<ClassEntry> {
    const { domain } = this.context;
    const known = domain.classes.find((each) => each.name === name);
    if (known) return known;
    checkClassName(name);
    checkClasses([...domain.classes.map((each) => each.name), name]);
    const entry = { id: 0, name };
    await this.context.change((now) => {
      entry.id = Math.max(-1, ...now.classes.map(({ id }) => id)) + 1; // another tab may have added one
      return { ...now, classes: [...now.classes, entry] };
    });
    return entry;
  }

  /** Take away “class 1” and “class 2” of a new domain, where folders have brought others. */
  private async dropEmptyFirstClasses(): Promise<void> {
    for (const entry of this.context.domain.classes)
      if (/^class \d+$/.test(entry.name) && !this.context.imagesOf(entry.id).length) {
        await this.context.storage.removeClass(this.context.domain.id, entry.id);
        await this.context.refresh();
      }
  }
}
