// What the page may ask of the worker, and what comes back.

import type { RunEntry } from "../storage";
import type { Description } from "./description";
import type { Domain } from "./domain_file";
import type { EpochRecord, LearningState } from "./learning";
import type { Processor } from "./runtime";

export interface TeachOrder {
  classes: string[];
  imagePx: number;
  images: Blob[];
  labels: number[];
  from: Domain | null; // the domain that is learned on
  state: LearningState | null; // of an unfinished run of the very same order
  run: Omit<RunEntry, "state">; // as which the worker keeps it, now and then and when paused
}

export interface Taught {
  domain: Domain | null; // null if it was paused
  warnings: string[];
}

export interface Progress {
  phase: "reading" | "learning" | "signing";
  done: number;
  of: number;
  history: EpochRecord[];
}

export interface Answer {
  name: string; // of the domain that was asked
  classes: string[];
  probabilities: Float32Array;
  distance: number | null; // beyond 1 the image is none of the domain's; null where that is not known
  ms: number;
}

/** A domain that is kept and has learned. */
export interface Known {
  id: number;
  name: string;
  learned: Domain;
}

/** Each request: what it takes and what it gives. */
export interface Requests {
  open: { takes: null; gives: { description: Description; processor: Processor } };
  isImage: { takes: Blob; gives: boolean };
  jpeg: { takes: ImageBitmap; gives: Blob };
  teach: { takes: TeachOrder; gives: Taught };
  pause: { takes: null; gives: null };
  recognise: { takes: { domain: Known; image: Blob | ImageBitmap }; gives: Answer };
  choose: { takes: Blob | ImageBitmap; gives: Answer }; // among all that are kept
  write: { takes: Domain; gives: Uint8Array };
  onnx: { takes: { name: string; domain: Domain }; gives: Blob };
  read: { takes: Uint8Array; gives: Domain };
}

export type Kind = keyof Requests;

export interface Question {
  id: number;
  kind: Kind;
  takes: unknown;
}

export type Reply =
  | { id: number; gives: unknown }
  | { id: number; refused: string }
  | { id: number; progress: Progress };
