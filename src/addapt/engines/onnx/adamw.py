"""AdamW on one vector, in numpy."""

import numpy as np

from addapt.engines.onnx.parameters import Vector

BETA1, BETA2, EPS = 0.9, 0.999, 1e-8
AT_ONCE = 1 << 14  # elements, which stay in a processor's own memory from line to line


class AdamW:
    """Adam with decoupled weight decay.

    Args:
        size: elements of the vector.
        lr: peak learning rate.
        weight_decay: share of each value that is taken away at a step, times the rate.

    *Memory:* two vectors.

    *Source:* Loshchilov and Hutter, Decoupled Weight Decay Regularization, ICLR 2019.
    """

    def __init__(self, size: int, lr: float, weight_decay: float) -> None:
        self.lr, self.weight_decay = lr, weight_decay
        self.steps = 0
        self.average = np.zeros(size, np.float32)
        self.square_average = np.zeros(size, np.float32)

    @np.errstate(all="ignore")  # what is no finite number shows in the loss
    def step(self, values: Vector, gradient: Vector, share: float) -> None:
        """Change the values in place, at a share of the peak rate; `gradient` is used up."""
        self.steps += 1
        for start in range(0, values.size, AT_ONCE):
            piece = slice(start, start + AT_ONCE)
            self._step(
                values[piece],
                gradient[piece],
                self.average[piece],
                self.square_average[piece],
                self.lr * share,
            )

    def _step(
        self, values: Vector, gradient: Vector, average: Vector, square_average: Vector, lr: float
    ) -> None:
        if self.weight_decay:
            values *= np.float32(1 - lr * self.weight_decay)
        change = gradient - average
        change *= np.float32(1 - BETA1)
        average += change
        np.square(gradient, out=gradient)
        gradient *= np.float32(1 - BETA2)
        square_average *= np.float32(BETA2)
        square_average += gradient
        np.sqrt(square_average, out=change)
        change /= np.float32((1 - BETA2**self.steps) ** 0.5)
        change += np.float32(EPS)
        np.divide(average, change, out=change)
        change *= np.float32(lr / (1 - BETA1**self.steps))
        values -= change
