"""What a user writes, for the type checker alone."""

import numpy as np
import numpy.typing as npt

import myopia

run: myopia.nqm.Run = myopia.nqm.optimal([1.0, 0.5], np.ones(2), 3)
rates: npt.NDArray[np.float64] = run.learning_rate
x, y = np.zeros((12, 2), dtype=np.float32), [0, 1] * 6
found = myopia.hypergrad(x, y, (2, 4, 2), 5, 0.1, 50.0, 1.0, batch=5)
slopes: npt.NDArray[np.float64] = found.gradient
losses: list[float] = [
    record["loss"] for record in myopia.meta_descent(x, y, [2, 2], 5, 0.1, 50.0, 1.0)
]
accuracy: float = myopia.train(x, y, [2, 2], 5, 0.1, 50.0, 1.0).judged.accuracy


def mine(case: myopia.Exported) -> tuple[float, list[float]]:
    return float(case.weights[0].sum()), [0.0, 0.0, 0.0]


agrees: bool = myopia.check_hypergradient(mine, x, y, [2, 2], 5, 0.1, 50.0, 1.0).agrees
