from typing import Any

import numpy as np
import numpy.typing as npt

__version__: str

def main(arguments: list[str]) -> int: ...
def hypergrad(
    words: list[str], x: npt.NDArray[Any], y: npt.NDArray[np.int64]
) -> dict[str, Any]: ...
def export(words: list[str], x: npt.NDArray[Any], y: npt.NDArray[np.int64]) -> dict[str, Any]: ...
def train(
    words: list[str],
    x: npt.NDArray[Any],
    y: npt.NDArray[np.int64],
    test: tuple[npt.NDArray[Any], npt.NDArray[np.int64]] | None,
) -> dict[str, Any]: ...
def nqm(
    curvature: npt.NDArray[np.float64],
    noise_variance: npt.NDArray[np.float64],
    initial_mean: npt.NDArray[np.float64] | None,
    initial_variance: npt.NDArray[np.float64] | None,
    schedule: str | None,
    given: tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]] | None,
    steps: int | None,
    momentum: float,
) -> dict[str, Any]: ...

class Descent:
    def __init__(self, words: list[str], x: npt.NDArray[Any], y: npt.NDArray[np.int64]) -> None: ...
    def next_record(self) -> dict[str, Any]: ...
