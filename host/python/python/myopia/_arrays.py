"""Arguments as the extension takes them: arrays without a copy where they are as they should be,
options as words of the command line."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

Labels = npt.NDArray[np.int64]
Column = npt.NDArray[np.float64]
Option = None | bool | int | float | str | Sequence[int] | Sequence[str]


def examples(
    x: npt.ArrayLike, y: npt.ArrayLike, names: tuple[str, str]
) -> tuple[npt.NDArray[Any], Labels]:
    """Inputs with an example in each row, and labels."""
    inputs, labels = np.asarray(x), np.asarray(y)
    if inputs.dtype not in (np.uint8, np.float32, np.float64):
        raise ValueError(
            f"{names[0]} is of type {inputs.dtype}; give uint8 from 0 to 255, of which each is divided by 255, or "
            "float32 or float64, which are taken as they are"
        )
    if inputs.ndim < 2:
        raise ValueError(
            f"{names[0]} has shape {inputs.shape}; give the examples along the first axis, their inputs along the "
            "second"
        )
    if labels.dtype.kind not in "iu":
        raise ValueError(f"{names[1]} is of type {labels.dtype}; give whole numbers")
    if labels.ndim != 1:
        raise ValueError(f"{names[1]} has shape {labels.shape}; give a vector of class numbers")
    rows = inputs.reshape(len(inputs), -1) if len(inputs) else inputs.reshape(0, 1)
    return np.ascontiguousarray(rows), np.ascontiguousarray(labels, dtype=np.int64)


def column(values: npt.ArrayLike, name: str) -> Column:
    """A vector of float64."""
    found = np.ascontiguousarray(values, dtype=np.float64)
    if found.ndim != 1:
        raise ValueError(f"{name} has shape {found.shape}; give a vector")
    return found


def words(options: dict[str, Option]) -> list[str]:
    """The options that are not None, as on the command line."""
    found = []
    for name, value in options.items():
        option = "--" + name.replace("_", "-")
        if value is None or value is False:
            continue
        if value is True:
            found.append(option)
        elif isinstance(value, (str, int, float, np.integer, np.floating)):
            found.append(f"{option}={number(value)}")
        else:
            found.append(f"{option}={','.join(number(each) for each in value)}")
    return found


def number(value: object) -> str:
    """The shortest text that is read back as the same number."""
    if isinstance(value, (float, np.floating)):
        return repr(float(value))
    return str(value)
