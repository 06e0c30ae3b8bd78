// Domains, their images and unfinished learning in the browser's own storage (IndexedDB).
//
// The page and its worker both use it. Each write is one transaction: it is there whole or not at all, whenever the tab is closed.

import { Refusal } from "./engine/description";
import type { Domain } from "./engine/domain_file";
import type { LearningState } from "./engine/learning";

export interface ClassEntry {
  id: number;
  name: string;
}

export interface DomainEntry {
  id: number;
  name: string;
  classes: ClassEntry[];
  imagePx: number;
  learned: Domain | null;
}

export interface ImageEntry {
  id: number;
  domain: number;
  classId: number;
  file: Blob;
}

/** An unfinished run, and what it is about: it goes on only if that is still the same. */
export interface RunEntry {
  domain: number;
  about: string;
  goesOn: boolean;
  state: LearningState;
}

type Table = "domains" | "images" | "runs";

export class Storage {
  private constructor(private readonly database: IDBDatabase) {}

  static async open(name = "addapt"): Promise<Storage> {
    const asked = indexedDB.open(name, 1);
    asked.onupgradeneeded = () => {
      asked.result.createObjectStore("domains", { keyPath: "id", autoIncrement: true });
      const images = asked.result.createObjectStore("images", { keyPath: "id", autoIncrement: true });
      images.createIndex("domain", "domain");
      asked.result.createObjectStore("runs", { keyPath: "domain" });
    };
    try {
      return new Storage(await answer(asked));
    } catch {
      throw new Refusal(
        "This browser keeps nothing for the page, as in a private window: open it in an ordinary one.",
      );
    }
  }

  close(): void {
    this.database.close();
  }

  async domains(): Promise<DomainEntry[]> {
    return this.read("domains", (table) => table.getAll());
  }

  async domain(id: number): Promise<DomainEntry | undefined> {
    return this.read("domains", (table) => table.get(id));
  }

  async images(domain: number): Promise<ImageEntry[]> {
    return this.read("images", (table) => table.index("domain").getAll(domain));
  }

  async run(domain: number): Promise<RunEntry | undefined> {
    return this.read("runs", (table) => table.get(domain));
  }

  async addDomain(entry: Omit<DomainEntry, "id">): Promise<number> {
    return this.write(["domains"], ([domains]) => domains!.add(entry)) as Promise<number>;
  }

  /** Change a domain as it is now: another tab may have changed it since it was read. */
  async changeDomain(id: number, edit: (entry: DomainEntry) => DomainEntry): Promise<void> {
    await this.write(["domains"], ([domains]) => change(domains!, id, edit));
  }

  /** Keep what was taught, and forget the unfinished run. */
  async finish(id: number, learned: Domain): Promise<void> {
    await this.write(["domains", "runs"], ([domains, runs]) => {
      runs!.delete(id);
      change<DomainEntry>(domains!, id, (entry) => ({ ...entry, learned }));
    });
  }

  async putRun(entry: RunEntry): Promise<void> {
    await this.write(["runs"], ([runs]) => runs!.put(entry));
  }

  async addImages(domain: number, classId: number, files: Blob[]): Promise<void> {
    await this.writeImages(domain, classId, (images) => {
      for (const file of files) images.add({ domain, classId, file });
    });
  }

  /** Move images to a class of their domain; those that another tab has deleted stay so. */
  async moveImages(domain: number, classId: number, ids: number[]): Promise<void> {
    await this.writeImages(domain, classId, (images) => {
      for (const id of ids) change<ImageEntry>(images, id, (entry) => ({ ...entry, classId }));
    });
  }

  async removeImages(ids: number[]): Promise<void> {
    await this.write(["images"], ([images]) => {
      for (const id of ids) images!.delete(id);
    });
  }

  /** Take a class out of a domain, with its images. */
  async removeClass(domain: number, classId: number): Promise<void> {
    const own = (await this.images(domain)).filter((image) => image.classId === classId);
    await this.write(["domains", "images"], ([domains, images]) => {
      for (const { id } of own) images!.delete(id);
      change<DomainEntry>(domains!, domain, (entry) => ({
        ...entry,
        classes: entry.classes.filter(({ id }) => id !== classId),
      }));
    });
  }

  async removeDomain(id: number): Promise<void> {
    const own = await this.images(id);
    await this.write(["domains", "images", "runs"], ([domains, images, runs]) => {
      for (const image of own) images!.delete(image.id);
      runs!.delete(id);
      return domains!.delete(id);
    });
  }

  /** Write images of a class that is still there: none must belong to nothing. */
  private async writeImages(
    domain: number,
    classId: number,
    work: (images: IDBObjectStore) => void,
  ): Promise<void> {
    let isThere = false;
    await this.write(["domains", "images"], ([domains, images]) => {
      const asked: IDBRequest<DomainEntry | undefined> = domains!.get(domain);
      asked.onsuccess = () => {
        isThere = asked.result?.classes.some(({ id }) => id === classId) ?? false;
        if (isThere) work(images!);
      };
    });
    if (!isThere) throw new Refusal("The class is no longer there: it was removed meanwhile.");
  }

  private read<Found>(table: Table, ask: (table: IDBObjectStore) => IDBRequest<Found>): Promise<Found> {
    return answer(ask(this.database.transaction(table).objectStore(table)));
  }

  /** Resolves when all is on the disk. */
  private write(
    tables: Table[],
    work: (tables: IDBObjectStore[]) => IDBRequest | void,
  ): Promise<unknown> {
    return new Promise((resolve, reject) => {
      const transaction = this.database.transaction(tables, "readwrite");
      const fail = (): void => reject(refusalOf(transaction.error));
      transaction.onabort = fail;
      transaction.onerror = fail;
      let asked: IDBRequest | void;
      transaction.oncomplete = () => resolve(asked ? asked.result : undefined);
      try {
        asked = work(tables.map((table) => transaction.objectStore(table)));
      } catch (error) {
        transaction.abort();
        reject(refusalOf(error as DOMException));
      }
    });
  }
}

/** Read an entry and write it anew, unless it was deleted meanwhile. */
function change<Entry>(table: IDBObjectStore, id: number, edit: (entry: Entry) => Entry): void {
  const asked: IDBRequest<Entry | undefined> = table.get(id);
  asked.onsuccess = () => {
    if (asked.result) table.put(edit(asked.result));
  };
}

function refusalOf(error: DOMException | null): Refusal {
  if (error?.name === "QuotaExceededError")
    return new Refusal("The browser's storage is full, and nothing was changed: delete images or a domain.");
  return new Refusal(`The browser's storage failed (${error?.message ?? "it was closed"}): reload the page.`);
}

function answer<Found>(request: IDBRequest<Found>): Promise<Found> {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(refusalOf(request.error));
  });
}

/** What the page takes of the browser's storage, in words. */
export async function usedStorage(): Promise<string> {
  const { usage = 0 } = (await navigator.storage?.estimate()) ?? {};
  return `${(usage / 1e6).toFixed(1)} MB`;
}
