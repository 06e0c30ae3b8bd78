// What page.json says: the backbone, the method, its recipe, and its graphs. `addapt page` writes it.

export interface Augmentation {
  flip: boolean;
  zoom: number;
  shift: number;
  rotate_degrees: number;
  brightness: number;
  contrast: number;
}

export interface Recipe {
  lr: number;
  backbone_lr: number;
  epochs: number;
  min_steps: number;
  batch: number;
  weight_decay: number;
  label_smoothing: number;
  patience: number;
  augmentation: Augmentation;
  val_fraction: number;
}

export interface SizedGraphs {
  image_px: number;
  learning: string;
  recognising: string;
  template: string; // of an exported model: it lacks all arrays
  signed_template: string; // the same for a domain that has a signature
  at_once: number; // images that go through the network together
}

/** The graph of the frozen features of images made small, for signatures. */
export interface LookGraph {
  image_px: number;
  recognising: string;
  at_once: number;
}

export interface Description {
  backbone: {
    name: string;
    weights: string;
    weights_sha256: string;
    features: number;
    mean: [number, number, number];
    std: [number, number, number];
    interpolation: "bicubic" | "bilinear";
  };
  method: string;
  hyperparameters: Record<string, unknown>;
  schema: number;
  seed: number;
  recipe: Recipe;
  exported: Record<"words" | "distance_words" | "resizing" | "whole" | "scaling", string>;
  signature: { look_images: number; answer_images: number; held_out_images: number };
  graphs: {
    weights: string;
    places: [name: string, shape: number[], offset: number][]; // in bytes
    first_values: string;
    parameters: [name: string, shape: number[]][]; // of the adaptor, in the order of its vector
    sizes: SizedGraphs[];
    look: LookGraph;
  };
  versions: Record<string, string>;
}

export function graphsOf(description: Description, imagePx: number): SizedGraphs {
  const found = description.graphs.sizes.find((graphs) => graphs.image_px === imagePx);
  if (!found) {
    const sizes = description.graphs.sizes.map((graphs) => graphs.image_px).join(", ");
    throw new Refusal(`Images of ${imagePx} px: this page has graphs for ${sizes} px only.`);
  }
  return found;
}

/** Something the user can mend: its message is shown as it is. */
export class Refusal extends Error {
  override name = "Refusal";
}
