"""Exact hypergradients of training, with the same bits on every machine.

Networks: :func:`hypergrad`, :func:`meta_descent`, :func:`train`, and :func:`check_hypergradient`
for a number that your own program computes. The noisy quadratic: :mod:`myopia.nqm`.

A refusal is a :class:`ValueError`, a computation that fails (training that diverges) a
:class:`RuntimeError`; both say what was wrong and what to do. Computations release the interpreter's
lock and end on Ctrl-C with :class:`KeyboardInterrupt`. While one runs, its arrays must not change.
"""

from myopia import nqm
from myopia._check import Agreement, Exported, check_hypergradient, export
from myopia._myopia import __version__
from myopia._network import (
    Hypergradient,
    Judged,
    Record,
    Training,
    hypergrad,
    meta_descent,
    train,
)

__all__ = [
    "Agreement",
    "Exported",
    "Hypergradient",
    "Judged",
    "Record",
    "Training",
    "__version__",
    "check_hypergradient",
    "export",
    "hypergrad",
    "meta_descent",
    "nqm",
    "train",
]
