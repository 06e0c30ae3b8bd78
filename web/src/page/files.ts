// Files that the user gives: alone, in folders, dropped, or as a zip; and the zip of all images.

import { Unzip, UnzipInflate, zip, type AsyncZippable } from "fflate";
import { Refusal } from "../engine/description";

export interface Given {
  file: Blob;
  name: string;
  folder: string; // the class folder it lay in; "" if none
}

export const MOST_FILES = 20_000;
const MOST_CLASSES = 500; // each of them is a card on the page
const MOST_BYTES = 2_000_000_000; // of a zip, unpacked
const IMAGES = /\.(jpe?g|png|webp|gif|bmp|avif|heic|heif|tiff?)$/i;
const UNREADABLE = /\.(heic|heif|tiff?)$/i;

/** Return the files of an input, with the folder that each lies in. */
export function filesOf(list: FileList): Given[] {
  return [...list].map((file) => ({
    file,
    name: file.name,
    folder: folderOf(file.webkitRelativePath),
  }));
}

/** Return all files that were dropped, folders looked through. */
export async function droppedFiles(data: DataTransfer): Promise<Given[]> {
  // Entries are there only until the first wait.
  const entries = [...data.items].map((item) => item.webkitGetAsEntry()).filter((entry) => !!entry);
  const found: Given[] = [];
  for (const entry of entries) await walk(entry, found);
  return found;
}

async function walk(entry: FileSystemEntry, found: Given[]): Promise<void> {
  if (found.length > MOST_FILES)
    throw new Refusal(`More than ${MOST_FILES} files were dropped: give fewer at once.`);
  if (entry.isFile) {
    const file = await new Promise<File>((resolve, reject) =>
      (entry as FileSystemFileEntry).file(resolve, reject),
    );
    found.push({ file, name: file.name, folder: folderOf(entry.fullPath.slice(1)) });
    return;
  }
  const reader = (entry as FileSystemDirectoryEntry).createReader();
  for (;;) {
    const some = await new Promise<FileSystemEntry[]>((resolve, reject) =>
      reader.readEntries(resolve, reject),
    );
    if (!some.length) return; // it gives a hundred at a time
    for (const inner of some) await walk(inner, found);
  }
}

/** Of "photos/rose/1.jpg" the folder is "rose"; of "1.jpg" there is none. */
export function folderOf(path: string): string {
  return path.split("/").at(-2) ?? "";
}

/** Keep what may be an image by its name or type; hidden files are none. */
export function likelyImages(given: Given[]): { images: Given[]; others: Given[] } {
  const isLikely = ({ file, name }: Given): boolean =>
    !name.startsWith(".") && (file.type.startsWith("image/") || IMAGES.test(name));
  return { images: given.filter(isLikely), others: given.filter((each) => !isLikely(each)) };
}

/** Refuse more classes than the page can show. */
export function checkShown(classes: number): void {
  if (classes > MOST_CLASSES)
    throw new Refusal(`${classes} classes: this page shows ${MOST_CLASSES} at most, the shell any number.`);
}

/** Say what can be done about files that the browser cannot show. */
export function unreadable(names: string[]): string {
  const hint = names.some((name) => UNREADABLE.test(name))
    ? " Most browsers show no HEIC or TIFF: save them as JPEG (on an iPhone: Settings, Camera, Formats, Most Compatible)."
    : "";
  const more = names.length > 1 ? ` and ${names.length - 1} more` : "";
  return `No image that this browser can read: ${names[0]}${more}.${hint}`;
}

/** Pack images into a zip of class folders, which `addapt learn` takes once it is unpacked. */
export async function zipOf(images: { folder: string; file: Blob }[]): Promise<Blob> {
  const content: AsyncZippable = {};
  let number = 0;
  for (const { folder, file } of images) {
    const suffix = file.type.replace("image/", "").replace("jpeg", "jpg") || "img";
    const name = `${safeFolder(folder)}/${String(++number).padStart(5, "0")}.${suffix}`;
    content[name] = [new Uint8Array(await file.arrayBuffer()), { level: 0 }]; // images are packed
  }
  return new Promise((resolve, reject) =>
    zip(content, (error, packed) =>
      error ? reject(error) : resolve(new Blob([packed as BlobPart], { type: "application/zip" })),
    ),
  );
}

/** Unpack the images of a zip, which may be a stranger's: a bound on files and bytes is kept. */
export async function unzipped(file: Blob, mostBytes = MOST_BYTES): Promise<Given[]> {
  const found: Given[] = [];
  let bytes = 0;
  let problem: Refusal | undefined;
  const unzip = new Unzip((entry) => {
    if (!IMAGES.test(entry.name) || problem) return; // is passed over, not unpacked
    const parts: BlobPart[] = [];
    entry.ondata = (error, data, isLast) => {
      bytes += data?.length ?? 0;
      if (error) problem = new Refusal(`The zip is damaged (${error.message}).`);
      if (bytes > mostBytes || found.length >= MOST_FILES)
        problem = new Refusal("The zip unpacks to more than a browser can take: unpack it first.");
      if (problem) return entry.terminate();
      parts.push(data as BlobPart);
      if (!isLast) return;
      const name = entry.name.split("/").at(-1)!;
      found.push({ file: new Blob(parts), name, folder: folderOf(entry.name) });
    };
    entry.start();
  });
  unzip.register(UnzipInflate);
  const reader = file.stream().getReader();
  for (;;) {
    const { done, value } = await reader.read();
    unzip.push(value ?? new Uint8Array(0), done);
    if (problem) throw problem;
    if (done) return found;
  }
}

/** Make of a class's name one that a folder can have on every system. */
export function safeFolder(name: string): string {
  const safe = name.replace(/[\u0000-\u001f<>:"/\\|?*]/g, "_").replace(/^\.+|[. ]+$/g, "_");
  return safe || "_";
}
