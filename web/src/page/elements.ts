// Elements of the page: made with their attributes, listeners and children; texts are never HTML.

type Child = Node | string;
type Listeners = { [Kind in keyof HTMLElementEventMap]?: (event: HTMLElementEventMap[Kind]) => void };

export function make<Tag extends keyof HTMLElementTagNameMap>(
  tag: Tag,
  attributes: Record<string, string | boolean> = {},
  children: Child[] = [],
  listeners: Listeners = {},
): HTMLElementTagNameMap[Tag] {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes))
    if (typeof value === "string") element.setAttribute(name, value);
    else element.toggleAttribute(name, value);
  element.append(...children);
  for (const [kind, listener] of Object.entries(listeners))
    element.addEventListener(kind, listener as EventListener);
  return element;
}

export function button(
  text: string,
  onClick: () => void,
  attributes: Record<string, string | boolean> = {},
): HTMLButtonElement {
  return make("button", { type: "button", ...attributes }, [text], { click: onClick });
}

/** Return an element of index.html. */
export function byId(id: string): HTMLElement {
  return document.getElementById(id)!;
}

/** Tell everyone something, whoever reads the screen too; errors stay until the next words. */
export function say(words: string, kind: "news" | "error" = "news"): void {
  const place = byId("message");
  place.textContent = words;
  place.dataset["kind"] = kind;
}

/** Do something that may be refused, and say why if it is. */
export async function attempt(work: () => Promise<void>): Promise<void> {
  try {
    await work();
  } catch (error) {
    say(error instanceof Error ? error.message : String(error), "error");
  }
}

/** Hand a file over to the user. */
export function download(name: string, content: Blob): void {
  const href = URL.createObjectURL(content);
  make("a", { href, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(href), 60_000);
}

export function percent(share: number): string {
  return `${(100 * share).toFixed(1)}\u00a0%`;
}
