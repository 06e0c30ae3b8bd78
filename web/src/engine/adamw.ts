// AdamW on one vector; addapt.engines.onnx.adamw does the same.

const [BETA1, BETA2, EPS] = [0.9, 0.999, 1e-8];

export interface AdamWState {
  steps: number;
  average: Float32Array;
  squareAverage: Float32Array;
}

/** Adam with decoupled weight decay: Loshchilov and Hutter, ICLR 2019. */
export class AdamW {
  state: AdamWState;

  constructor(
    size: number,
    private readonly lr: number,
    private readonly weightDecay: number,
  ) {
    this.state = {
      steps: 0,
      average: new Float32Array(size),
      squareAverage: new Float32Array(size),
    };
  }

  /** Change the values in place, at a share of the peak rate. */
  step(values: Float32Array, gradient: Float32Array, share: number): void {
    const { average, squareAverage } = this.state;
    const steps = ++this.state.steps;
    const lr = this.lr * share;
    const decay = Math.fround(1 - lr * this.weightDecay);
    const rate = Math.fround(lr / (1 - BETA1 ** steps));
    const scale = Math.fround(Math.sqrt(1 - BETA2 ** steps));
    for (let i = 0; i < values.length; i++) {
      const slope = gradient[i]!;
      const mean = (average[i] = average[i]! + (slope - average[i]!) * (1 - BETA1));
      const square = (squareAverage[i] = squareAverage[i]! * BETA2 + slope * slope * (1 - BETA2));
      values[i] = values[i]! * decay - (mean / (Math.sqrt(square) / scale + EPS)) * rate;
    }
  }
}
