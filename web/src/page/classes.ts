// The classes of a domain and their images, each class a card.

import { checkClasses, checkClassName } from "../engine/class_names";
import { Refusal } from "../engine/description";
import type { ClassEntry, ImageEntry } from "../storage";
import { Adding } from "./adding";
import type { Context, Part } from "./context";
import { attempt, button, byId, download, make } from "./elements";
import { droppedFiles, filesOf, unzipped, zipOf, type Given } from "./files";
import { holdButton } from "./holding";
import { DRAGGED, Selection } from "./selection";

const SHOWN = 40; // images of a class, and how many more at a time; all of them make the page slow

export class Classes implements Part {
  private readonly thumbnails = new Map<number, string>(); // image -> URL
  private readonly shown = new Map<number, number>(); // class -> images, where it is not SHOWN
  private readonly selection: Selection;
  private readonly adding: Adding;
  private shownDomain = -1;
  private cards = new Map<string, HTMLElement>(); // by what they show

  constructor(private readonly context: Context) {
    this.selection = new Selection(context);
    this.adding = new Adding(context);
    const input = make("input", { type: "file", multiple: true, "aria-label": "Add class folders" });
    input.webkitdirectory = true;
    this.onFiles(input, (given) => this.adding.addFolders(given));
    const zip = make("input", { type: "file", accept: ".zip", "aria-label": "Add a zip of class folders" });
    zip.addEventListener("change", () => {
      const [file] = zip.files ?? [];
      if (file)
        void attempt(async () => this.adding.addFolders(await unzipped(file))).then(() => (zip.value = ""));
    });
    byId("class-actions").append(
      button("Add a class", () => attempt(() => this.addClass())),
      make("span", { class: "file" }, ["Add class folders", input]),
      make("span", { class: "file" }, ["Add a zip", zip]),
      button("Save all images", () => attempt(() => this.saveImages())),
    );
    this.acceptDrops(byId("images-title").parentElement!, (given) => this.adding.addFolders(given));
    document.addEventListener("paste", (event) => {
      const files = [...(event.clipboardData?.files ?? [])];
      const [first] = this.context.domain.classes;
      if (files.length && first && !this.context.isTeaching)
        void attempt(() =>
          this.adding.add(files.map((file) => ({ file, name: file.name, folder: "" })), this.focused() ?? first),
        );
    });
  }

  show(): void {
    const { domain, isTeaching } = this.context;
    if (domain.id !== this.shownDomain) this.shown.clear();
    this.forgetThumbnails(domain.id === this.shownDomain);
    this.shownDomain = domain.id;
    this.selection.show();
    this.showCards();
    for (const place of ["classes", "selection", "class-actions"])
      for (const element of byId(place).querySelectorAll("button, input"))
        element.toggleAttribute("disabled", isTeaching);
  }

  /** Show a card for each class; one that has not changed stays, as making it takes a moment. */
  private showCards(): void {
    const { domain } = this.context;
    const focused = document.activeElement?.id;
    const cards = new Map<string, HTMLElement>();
    for (const entry of domain.classes) {
      const images = this.context.imagesOf(entry.id).map(({ id }) => [id, this.selection.has(id)]);
      const content = JSON.stringify([domain.id, entry, images, this.shown.get(entry.id)]);
      cards.set(content, this.cards.get(content) ?? this.card(entry));
    }
    const before = [...this.cards.values()];
    this.cards = cards;
    const now = [...cards.values()];
    if (now.length === before.length && now.every((card, place) => card === before[place])) return;
    byId("classes").replaceChildren(...now);
    if (focused) document.getElementById(focused)?.focus();
  }

  private card(entry: ClassEntry): HTMLElement {
    const images = this.context.imagesOf(entry.id).reverse(); // the newest first
    const shown = images.slice(0, this.shown.get(entry.id) ?? SHOWN);
    const title = make("h3", { id: `class-${entry.id}` }, [entry.name]);
    const input = make("input", {
      type: "file",
      multiple: true,
      accept: "image/*",
      id: `files-${entry.id}`,
      "aria-label": `Add images of ${entry.name}`,
    });
    this.onFiles(input, (given) => this.adding.add(given, entry));
    const card = make("article", { class: "card", "aria-labelledby": `class-${entry.id}` }, [
      make("div", { class: "row" }, [
        title,
        make("span", { class: "soft" }, [images.length === 1 ? "1 image" : `${images.length} images`]),
        ...(images.length ? [this.chooseButton(entry, images)] : []),
      ]),
      make("div", { class: "row" }, [
        holdButton(this.context, entry, (files) => this.adding.addTaken(files, entry)),
        make("span", { class: "file" }, ["Add files", input]),
        button("Rename", () => attempt(() => this.renameClass(entry)), {
          "aria-label": `Rename the class ${entry.name}`,
        }),
        button("Remove", () => attempt(() => this.removeClass(entry)), {
          "aria-label": `Remove the class ${entry.name}`,
        }),
      ]),
      make("ul", { class: "images" }, shown.map((image) => this.thumbnail(image, entry))),
    ]);
    const more = Math.min(SHOWN, images.length - shown.length);
    if (more) card.append(this.moreButton(entry, shown.length, more));
    card.dataset["classId"] = String(entry.id);
    this.acceptDrops(
      card,
      (given) => this.adding.add(given, entry),
      () => this.selection.drop(entry),
    );
    return card;
  }

  private chooseButton({ id, name }: ClassEntry, images: ImageEntry[]): HTMLButtonElement {
    return button("Choose all", () => this.selection.chooseAll(images), {
      id: `choose-${id}`,
      class: "aside",
      "aria-label": `Choose all images of ${name}`,
    });
  }

  private moreButton({ id, name }: ClassEntry, shown: number, more: number): HTMLButtonElement {
    const showMore = (): void => {
      this.shown.set(id, shown + more);
      this.show();
    };
    const label = `Show ${more} more images of ${name}`;
    return button(`Show ${more} more`, showMore, { id: `more-${id}`, "aria-label": label });
  }

  private thumbnail(image: ImageEntry, { name }: ClassEntry): HTMLElement {
    let src = this.thumbnails.get(image.id);
    if (!src) this.thumbnails.set(image.id, (src = URL.createObjectURL(image.file)));
    const remove = button("×", () => attempt(() => this.selection.remove([image.id])));
    remove.setAttribute("aria-label", `Delete this image of ${name}`);
    return make("li", {}, [this.selection.choice(image, name, src), remove]);
  }

  private async addClass(): Promise<void> {
    const number = this.context.domain.classes.length + 1;
    const name = prompt("What is the class called?", `class ${number}`)?.trim();
    if (name && this.context.domain.classes.some((each) => each.name === name))
      throw new Refusal(`There is a class “${name}” already.`);
    if (name) await this.adding.classCalled(name);
  }

  private async renameClass(entry: ClassEntry): Promise<void> {
    const { domain } = this.context;
    const name = prompt("What is the class to be called?", entry.name)?.trim();
    if (!name || name === entry.name) return;
    checkClassName(name);
    const renamed = (old: string): string => (old === entry.name ? name : old);
    checkClasses(domain.classes.map((each) => renamed(each.name)));
    if (domain.learned) checkClasses(domain.learned.info.classes.map(renamed)); // some were removed
    await this.context.change(({ classes, learned, ...rest }) => ({
      ...rest,
      classes: classes.map((each) => ({ ...each, name: renamed(each.name) })),
      learned: learned && {
        ...learned,
        info: { ...learned.info, classes: learned.info.classes.map(renamed) },
      },
    }));
  }

  private async removeClass(entry: ClassEntry): Promise<void> {
    const images = this.context.imagesOf(entry.id).length;
    if (images && !confirm(`Remove the class ${entry.name} with its ${images} images?`)) return;
    await this.context.storage.removeClass(this.context.domain.id, entry.id);
    await this.context.refresh();
  }

  private async saveImages(): Promise<void> {
    const { domain, images } = this.context;
    if (!images.length) throw new Refusal("There are no images yet.");
    const names = new Map(domain.classes.map(({ id, name }) => [id, name]));
    const files = images.map(({ classId, file }) => ({ folder: names.get(classId) ?? "_", file }));
    download(`${domain.name}.zip`, await zipOf(files));
  }

  /** The class in whose card the focus is. */
  private focused(): ClassEntry | undefined {
    const card = document.activeElement?.closest<HTMLElement>("[data-class-id]");
    return this.context.domain.classes.find(({ id }) => String(id) === card?.dataset["classId"]);
  }

  private onFiles(input: HTMLInputElement, take: (given: Given[]) => Promise<void>): void {
    input.addEventListener("change", () => {
      const given = filesOf(input.files!);
      void attempt(() => take(given)).then(() => (input.value = ""));
    });
  }

  /** Take files that are dropped on a place, and images of the page that are dragged there. */
  private acceptDrops(
    place: HTMLElement,
    take: (given: Given[]) => Promise<void>,
    move?: () => Promise<void>,
  ): void {
    place.addEventListener("dragover", (event) => {
      if (event.dataTransfer?.types.includes(DRAGGED) && !move) return;
      event.preventDefault();
      event.stopPropagation();
      place.classList.add("dropping");
    });
    place.addEventListener("dragleave", () => place.classList.remove("dropping"));
    place.addEventListener("drop", (event) => {
      event.preventDefault();
      event.stopPropagation();
      place.classList.remove("dropping");
      const { dataTransfer } = event;
      if (!dataTransfer || this.context.isTeaching) return;
      if (move && dataTransfer.types.includes(DRAGGED)) void attempt(move);
      else void attempt(async () => take(await droppedFiles(dataTransfer)));
    });
  }

  /** Let go of images that are no longer there, or of all. */
  private forgetThumbnails(isSame: boolean): void {
    const there = new Set(isSame ? this.context.images.map(({ id }) => id) : []);
    for (const [id, src] of this.thumbnails)
      if (!there.has(id)) {
        URL.revokeObjectURL(src);
        this.thumbnails.delete(id);
      }
  }
}
