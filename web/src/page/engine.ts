// The worker, asked by the page.

import { Refusal } from "../engine/description";
import type { Kind, Progress, Question, Reply, Requests } from "../engine/requests";

interface Waiting {
  resolve: (gives: never) => void;
  reject: (error: Error) => void;
  onProgress: (progress: Progress) => void;
}

export class Engine {
  private readonly worker = new Worker(new URL("worker.js", document.baseURI), { type: "module" });
  private readonly waiting = new Map<number, Waiting>();
  private asked = 0;

  constructor() {
    this.worker.onmessage = ({ data }: MessageEvent<Reply>) => this.take(data);
    this.worker.onerror = (event) => {
      const error = new Refusal(`What computes has stopped (${event.message}): reload the page.`);
      for (const { reject } of this.waiting.values()) reject(error);
      this.waiting.clear();
    };
  }

  ask<Name extends Kind>(
    kind: Name,
    takes: Requests[Name]["takes"],
    onProgress: (progress: Progress) => void = () => undefined,
  ): Promise<Requests[Name]["gives"]> {
    const id = ++this.asked;
    return new Promise((resolve, reject) => {
      this.waiting.set(id, { resolve, reject, onProgress });
      const question: Question = { id, kind, takes };
      this.worker.postMessage(question);
    });
  }

  private take(reply: Reply): void {
    const waiting = this.waiting.get(reply.id);
    if (!waiting) return;
    if ("progress" in reply) return waiting.onProgress(reply.progress);
    this.waiting.delete(reply.id);
    if ("refused" in reply) waiting.reject(new Refusal(reply.refused));
    else waiting.resolve(reply.gives as never);
  }
}
