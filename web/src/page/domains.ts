// The domains side by side: chosen, made, renamed, deleted, exported and imported.

import { Refusal } from "../engine/description";
import type { Domain } from "../engine/domain_file";
import type { ClassEntry, DomainEntry } from "../storage";
import type { Context, Part } from "./context";
import { attempt, button, byId, download, make, say } from "./elements";
import { checkShown } from "./files";

const SUFFIX = ".safetensors";
const ONNX_SUFFIX = ".onnx";
const NAME = /^[A-Za-z0-9]([A-Za-z0-9._-]{0,62}[A-Za-z0-9_-])?$/; // as the shell allows it
const MOST_FILE_BYTES = 1_000_000_000;

export class Domains implements Part {
  private readonly select = byId("domain") as HTMLSelectElement;
  private readonly exportButton: HTMLButtonElement;
  private readonly onnxButton: HTMLButtonElement;
  private entries: DomainEntry[] = [];

  constructor(private readonly context: Context) {
    context.begin = () => this.begin();
    this.select.addEventListener("change", () =>
      attempt(() => this.context.choose(Number(this.select.value))),
    );
    this.exportButton = button("Export", () => attempt(() => this.exportDomain()), {
      title: "Save the domain as a file for addapt in the shell",
    });
    this.onnxButton = button("Export ONNX", () => attempt(() => this.exportOnnx()), {
      title: "Save the domain with its network as one model for any ONNX runtime",
    });
    const input = make("input", { type: "file", accept: SUFFIX, "aria-label": "Import a domain" });
    input.addEventListener("change", () => {
      const [file] = input.files ?? [];
      if (file) void attempt(() => this.importDomain(file)).then(() => (input.value = ""));
    });
    byId("domain-actions").append(
      button("New", () => attempt(() => this.create())),
      button("Rename", () => attempt(() => this.rename())),
      button("Delete", () => attempt(() => this.remove())),
      this.exportButton,
      this.onnxButton,
      make("span", { class: "file" }, ["Import", input]),
    );
  }

  show(): void {
    const { domain, isTeaching } = this.context;
    void this.context.storage.domains().then((entries) => {
      this.entries = entries;
      const options = entries.map(({ id, name }) =>
        make("option", { value: String(id), selected: id === domain.id }, [name]),
      );
      this.select.replaceChildren(...options);
    });
    for (const element of byId("domain-actions").querySelectorAll("button, input"))
      element.toggleAttribute("disabled", isTeaching);
    this.exportButton.disabled = !domain.learned;
    this.onnxButton.disabled = !domain.learned || isTeaching;
    this.select.disabled = isTeaching;
  }

  /** Choose the domain that was made first, or make one. */
  async begin(): Promise<void> {
    const [first] = await this.context.storage.domains();
    await this.context.choose(first?.id ?? (await this.add("my-domain", ["class 1", "class 2"])));
  }

  private async add(
    name: string,
    classes: string[],
    learned: Domain | null = null,
  ): Promise<number> {
    const entries: ClassEntry[] = classes.map((label, id) => ({ id, name: label }));
    const imagePx = learned?.info.image_px ?? this.context.description.graphs.sizes[0]!.image_px;
    return this.context.storage.addDomain({ name, classes: entries, imagePx, learned });
  }

  private async create(): Promise<void> {
    const name = this.askName("What is the new domain called?", "my-domain-2");
    if (name) await this.context.choose(await this.add(name, ["class 1", "class 2"]));
  }

  private async rename(): Promise<void> {
    const name = this.askName("What is the domain to be called?", this.context.domain.name);
    if (name) await this.context.change((entry) => ({ ...entry, name }));
  }

  private async remove(): Promise<void> {
    const { domain, images } = this.context;
    const what = `Delete the domain ${domain.name} with its ${images.length} images?`;
    if (!confirm(`${what} This cannot be undone.`)) return;
    await this.context.storage.removeDomain(domain.id);
    await this.begin();
    say(`${domain.name} is deleted.`);
  }

  private askName(question: string, proposed: string): string | undefined {
    const name = prompt(question, proposed)?.trim();
    if (!name || name === this.context.domain.name) return undefined;
    this.checkName(name);
    return name;
  }

  private checkName(name: string): void {
    if (!NAME.test(name))
      throw new Refusal(
        `A domain cannot be called “${name}”: use at most 64 letters a-z or A-Z, digits, “_”, “-” and ` +
          "“.”, with a letter or digit first, and no “.” at the end.",
      );
    if (this.entries.some((entry) => entry.name.toLowerCase() === name.toLowerCase()))
      throw new Refusal(`There is a domain ${name} already: choose another name.`);
  }

  private async exportDomain(): Promise<void> {
    const { engine, domain } = this.context;
    const file = await engine.ask("write", domain.learned!);
    download(`${domain.name}${SUFFIX}`, new Blob([file as BlobPart]));
    say(`Put ${domain.name}${SUFFIX} into a folder “domains”, and the shell knows it: addapt show ${domain.name}`);
  }

  private async exportOnnx(): Promise<void> {
    const { engine, domain } = this.context;
    const { name } = domain;
    say(`Putting ${name} and its network into one file …`);
    const file = await engine.ask("onnx", { name, domain: domain.learned! });
    download(`${name}${ONNX_SUFFIX}`, file);
    say(`${name}${ONNX_SUFFIX} says in itself what images it takes, and what it answers.`);
  }

  private async importDomain(file: File): Promise<void> {
    if (file.size > MOST_FILE_BYTES) throw new Refusal("The file is too large for a domain.");
    const learned = await this.context.engine.ask("read", new Uint8Array(await file.arrayBuffer()));
    checkShown(learned.info.classes.length);
    const name = this.freeName(file.name.replace(/\.safetensors.*$/i, ""));
    await this.context.choose(await this.add(name, learned.info.classes, learned));
    say(`${name} is here: try it, or add images and learn on.`);
  }

  private freeName(wanted: string): string {
    const base = NAME.test(wanted) ? wanted.slice(0, 60) : "imported";
    const taken = new Set(this.entries.map(({ name }) => name.toLowerCase()));
    for (let number = 1; ; number++) {
      const name = number === 1 ? base : `${base}-${number}`;
      if (!taken.has(name.toLowerCase())) return name;
    }
  }
}
