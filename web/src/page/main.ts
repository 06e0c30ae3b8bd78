// The page: its parts are made here, and the first domain is shown.

import { Refusal } from "../engine/description";
import type { Processor } from "../engine/runtime";
import { Storage, usedStorage } from "../storage";
import { Camera } from "./camera";
import { Classes } from "./classes";
import { Context, type Part } from "./context";
import { Device } from "./device";
import { Domains } from "./domains";
import { attempt, button, byId, make, say } from "./elements";
import { Engine } from "./engine";
import { Teaching } from "./teaching";
import { Trying } from "./trying";

const RELOADED = "addapt reloaded to be isolated";

/** The camera's picture, and its switches. */
class CameraPart implements Part {
  private readonly switchButton = button("Switch the camera on", () => attempt(() => this.toggle()), {
    id: "camera-switch",
  });
  private readonly turnButton = button("Other camera", () => attempt(() => this.turn()));
  private facing: "environment" | "user" = "environment";

  constructor(
    private readonly context: Context,
    private readonly video: HTMLVideoElement,
  ) {
    context.camera.onEnd = () => {
      say("The camera is gone: it was unplugged, or switched off elsewhere.", "error");
      context.show();
    };
    byId("camera").append(video, make("div", { class: "row" }, [this.switchButton, this.turnButton]));
  }

  show(): void {
    const { isOn } = this.context.camera;
    this.video.hidden = this.turnButton.hidden = !isOn;
    this.switchButton.textContent = isOn ? "Switch the camera off" : "Switch the camera on";
  }

  private async toggle(): Promise<void> {
    if (this.context.camera.isOn) this.context.camera.stop();
    else await this.context.camera.start(this.facing);
    say("");
    this.context.show();
  }

  private async turn(): Promise<void> {
    this.facing = this.facing === "user" ? "environment" : "user";
    await this.context.camera.start(this.facing);
    this.context.show();
  }
}

/** What computes, and what is kept. */
class Footer implements Part {
  private readonly storage = make("span");

  constructor({ threads, why }: Processor, name: string) {
    const computes = threads > 1 ? `${threads} threads` : `one thread, as ${why}`;
    byId("footer").append(
      make("p", {}, [`Network: ${name}. It computes with ${computes}. `, this.storage]),
    );
  }

  show(): void {
    void usedStorage().then((used) => {
      this.storage.textContent = `The page takes ${used} of this browser's storage, its own files included.`;
    });
  }
}

/** Have the page work offline, and be isolated, which gives it threads. */
async function registerOffline(): Promise<void> {
  if (!("serviceWorker" in navigator)) return;
  const isFirst = !navigator.serviceWorker.controller;
  navigator.serviceWorker.addEventListener("controllerchange", () => {
    if (!isFirst || crossOriginIsolated || sessionStorage.getItem(RELOADED)) return;
    sessionStorage.setItem(RELOADED, "yes"); // once: some browsers cannot be isolated
    location.reload();
  });
  await navigator.serviceWorker.register("offline.js").catch(() => undefined);
}

async function main(): Promise<void> {
  const device = new Device();
  await device.open();
  if (!isSecureContext)
    throw new Refusal("Browsers give storage and cameras to pages over HTTPS, or of this machine, only.");
  await registerOffline();
  const engine = new Engine();
  const [storage, { description, processor }] = await Promise.all([
    Storage.open(),
    engine.ask("open", null),
  ]);
  const video = make("video", { muted: true, playsinline: true, hidden: true, "aria-label": "The camera" });
  video.muted = true;
  const context = new Context(engine, storage, new Camera(video), description);
  const domains = new Domains(context);
  context.add(
    domains,
    new CameraPart(context, video),
    new Classes(context),
    new Teaching(context),
    new Trying(context),
    new Footer(processor, description.backbone.name),
  );
  await domains.begin();
  device.context = context;
  say("");
}

void attempt(main);
