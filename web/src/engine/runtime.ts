// All that is set on ONNX Runtime, and its sessions.

import * as ort from "onnxruntime-web/wasm";
import { Refusal } from "./description";

export type Tensors = Record<string, ort.Tensor>;

const MOST_THREADS = 4; // more only wait for each other

export interface Processor {
  threads: number;
  why: string; // there is one thread only; "" if there are more
}

/**
 * Prepare the runtime; call it once, before the first session.
 *
 * Threads share memory, which browsers allow isolated pages only; otherwise the runtime would
 * silently take one.
 */
export function prepareRuntime(folder: string | undefined): Processor {
  const isolated = globalThis.crossOriginIsolated === true;
  const cores = globalThis.navigator?.hardwareConcurrency ?? 1;
  const threads = isolated ? Math.max(1, Math.min(cores, MOST_THREADS)) : 1;
  ort.env.logLevel = "error";
  ort.env.wasm.numThreads = threads;
  ort.env.wasm.proxy = false; // we are in a worker already
  if (folder !== undefined) ort.env.wasm.wasmPaths = folder;
  const why = isolated ? "the device has one core" : "the page is not isolated from others";
  return { threads, why: threads > 1 ? "" : why };
}

/** A graph that is ready to run. */
export class Session {
  private constructor(private readonly session: ort.InferenceSession) {}

  /** Make one of a graph and the weights that it refers to by the name of their file, if any. */
  static async create(graph: Uint8Array, weights?: { path: string; data: Uint8Array }): Promise<Session> {
    const made = await ort.InferenceSession.create(graph, {
      executionProviders: ["wasm"],
      externalData: weights ? [weights] : [],
      enableCpuMemArena: false, // it grows by doubling, and a tab's memory never shrinks
      enableMemPattern: false, // planning all maps in one block takes more
    });
    return new Session(made);
  }

  /**
   * Return the outputs that are asked for, by name.
   *
   * The runtime copies what goes in and what comes out, so neither is copied here.
   */
  async run(inputs: Tensors, outputs: string[]): Promise<Record<string, Float32Array>> {
    let results: ort.InferenceSession.ReturnType;
    try {
      results = await this.session.run(inputs, outputs);
    } catch (error) {
      throw new Refusal(
        `The network could not be run (${String(error).split("\n", 1)[0]}). Close other tabs, or ` +
          "choose smaller images.",
      );
    } finally {
      for (const tensor of Object.values(inputs)) tensor.dispose();
    }
    const found: Record<string, Float32Array> = {};
    for (const name of outputs) {
      found[name] = results[name]!.data as Float32Array;
      results[name]!.dispose();
    }
    return found;
  }

  async release(): Promise<void> {
    await this.session.release();
  }
}

export function floats(values: Float32Array, ...shape: number[]): ort.Tensor {
  return new ort.Tensor("float32", values, shape);
}

export function bytes(values: Uint8Array, ...shape: number[]): ort.Tensor {
  return new ort.Tensor("uint8", values, shape);
}
