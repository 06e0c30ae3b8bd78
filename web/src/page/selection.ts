// Images that are chosen, and what is done with them: moved to another class, by a menu or by
// dragging, or deleted.

import type { ClassEntry, ImageEntry } from "../storage";
import type { Context, Part } from "./context";
import { attempt, button, byId, make, say } from "./elements";

export const DRAGGED = "application/x-addapt-images"; // the type of what is dragged: images of this page

export class Selection implements Part {
  private readonly chosen = new Set<number>();
  private readonly place = byId("selection");
  private readonly words = make("span", { role: "status" });
  private readonly target = make("select", { "aria-label": "Class to move to" });
  private last: ImageEntry | undefined; // chosen last: a range begins there
  private dragged: number[] = []; // not in what the browser carries, which other pages see

  constructor(private readonly context: Context) {
    const move = (): Promise<void> => this.move(Number(this.target.value), this.ids);
    this.place.append(
      this.words,
      make("span", { class: "row" }, [
        this.target,
        button("Move", () => attempt(move)),
        button("Delete", () => attempt(() => this.remove(this.ids))),
        button("Choose none", () => this.chooseAll([])),
      ]),
    );
  }

  show(): void {
    const { domain, images } = this.context;
    const there = new Set(images.map(({ id }) => id));
    for (const id of this.chosen) if (!there.has(id)) this.chosen.delete(id);
    const { value } = this.target;
    this.target.replaceChildren(
      ...domain.classes.map(({ id, name }) => make("option", { value: String(id) }, [`to ${name}`])),
    );
    if (domain.classes.some(({ id }) => String(id) === value)) this.target.value = value;
    this.tell();
  }

  /** Choose these images and no others. */
  chooseAll(images: ImageEntry[]): void {
    this.chosen.clear();
    for (const { id } of images) this.chosen.add(id);
    this.last = undefined;
    this.context.show();
  }

  /** Return the thumbnail of an image, by which it is chosen, dragged, or deleted. */
  choice(image: ImageEntry, name: string, src: string): HTMLElement {
    const box = make("input", {
      type: "checkbox",
      id: `image-${image.id}`,
      "aria-label": `Choose this image of ${name}`,
      checked: this.chosen.has(image.id),
    });
    box.addEventListener("click", ({ shiftKey }) => {
      const range = shiftKey ? this.rangeTo(image) : [image];
      for (const { id } of range) this.chosen[box.checked ? "add" : "delete"](id);
      this.last = image;
      this.context.show();
    });
    box.addEventListener("keydown", ({ key }) => {
      if (key !== "Delete" && key !== "Backspace") return;
      void attempt(() => this.remove(this.chosen.has(image.id) ? this.ids : [image.id]));
    });
    const picture = make("img", { src, alt: "", loading: "lazy", draggable: "false" });
    const label = make("label", { draggable: "true" }, [box, picture]);
    label.addEventListener("dragstart", (event) => {
      if (this.context.isTeaching) return event.preventDefault();
      this.dragged = this.chosen.has(image.id) ? this.ids : [image.id];
      event.dataTransfer!.setData(DRAGGED, "");
      event.dataTransfer!.effectAllowed = "move";
    });
    return label;
  }

  /** Move the images that are dragged to a class. */
  async drop({ id }: ClassEntry): Promise<void> {
    await this.move(id, this.dragged);
  }

  async remove(ids: number[]): Promise<void> {
    if (ids.length > 1 && !confirm(`Delete ${ids.length} images? This cannot be undone.`)) return;
    await this.context.storage.removeImages(ids);
    await this.context.refresh();
    if (ids.length > 1) say(`${ids.length} images were deleted.`);
  }

  private async move(classId: number, ids: number[]): Promise<void> {
    const { domain, images, storage } = this.context;
    const moved = images.filter((image) => ids.includes(image.id) && image.classId !== classId);
    await storage.moveImages(domain.id, classId, moved.map(({ id }) => id));
    this.chosen.clear();
    await this.context.refresh();
    const name = domain.classes.find(({ id }) => id === classId)?.name;
    say(`${moved.length === 1 ? "1 image was" : `${moved.length} images were`} moved to ${name}.`);
  }

  private tell(): void {
    this.place.hidden = !this.chosen.size;
    this.words.textContent = this.chosen.size === 1 ? "1 image chosen" : `${this.chosen.size} images chosen`;
  }

  has(id: number): boolean {
    return this.chosen.has(id);
  }

  private get ids(): number[] {
    return [...this.chosen];
  }

  /** The images of a class from the one that was chosen last to this one. */
  private rangeTo(image: ImageEntry): ImageEntry[] {
    const own = this.context.imagesOf(image.classId);
    const ends = [this.last?.id, image.id].map((end) => own.findIndex(({ id }) => id === end));
    if (ends.includes(-1)) return [image];
    return own.slice(Math.min(...ends), Math.max(...ends) + 1);
  }
}
