"""Writes short-horizon-bias.ipynb, without outputs; the README says how it is executed."""

import nbformat
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

CELLS = [
    (
        "markdown",
        """# Short-horizon bias, from Python

A learning rate that is best for the next few steps is not the one that is best in the long run. Two places to see it: the noisy
quadratic, where the expected loss of any schedule is exact, and a network on data of your own.""",
    ),
    (
        "code",
        """import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

import myopia

myopia.__version__""",
    ),
    (
        "markdown",
        """## The noisy quadratic

100 directions with curvatures 1, 1/2, …, 1/100 and noise of variance 1/h. `greedy` takes in each step the rate that is best for
the next loss, `replan` looks 10 steps ahead, `optimal` knows all 250 steps.""",
    ),
    (
        "code",
        """h = 1 / np.arange(1, 101)
steps = 250
runs = {
    "greedy": myopia.nqm.greedy(h, 1 / h, steps),
    "10 steps ahead": myopia.nqm.replan(h, 1 / h, steps, horizon=10),
    "optimal": myopia.nqm.optimal(h, 1 / h, steps),
}
pd.Series({name: run.excess_loss for name, run in runs.items()}, name="excess loss after 250 steps")""",
    ),
    (
        "code",
        """figure, (rates, losses) = plt.subplots(1, 2, figsize=(10, 3.6), layout="constrained")
floor = runs["optimal"].loss - runs["optimal"].excess_loss
for name, run in runs.items():
    rates.plot(run.learning_rate, label=name)
    losses.plot(run.losses - floor, label=name)
rates.set(xlabel="step", ylabel="learning rate", yscale="log")
losses.set(xlabel="step", ylabel="expected loss above its floor", yscale="log")
rates.legend()
plt.show()""",
    ),
    (
        "markdown",
        """The short-sighted schedules give the learning rate up at once: that lowers the loss of the few directions of high curvature now,
and leaves those of low curvature, in which most of the loss is, where they are.

## A network on your own data

Three spirals of noisy points: `x` is float32 [n, 2], `y` the classes. Any array of examples will do.""",
    ),
    (
        "code",
        """random = np.random.default_rng(0)
n = 3000
y = random.integers(0, 3, n)
radius = np.sqrt(random.uniform(0.02, 1, n))
angle = 4 * radius + 2 * np.pi * y / 3 + random.normal(0, 0.5, n)
x = np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1).astype(np.float32)
layers = [2, 32, 32, 3]

plt.figure(figsize=(3.6, 3.6), layout="constrained")
plt.scatter(*x.T, c=y, s=3, cmap="viridis")
plt.gca().set(aspect="equal", xlabel="x[:, 0]", ylabel="x[:, 1]")
plt.show()""",
    ),
    (
        "markdown",
        """One look-ahead: train for 50 steps with α = α₀ / (1 + k/K)^β and differentiate the loss on the held-out sixth by α₀, K and β. The
digest is that of every bit of the trained network; the program prints the same one.""",
    ),
    ("code", "myopia.hypergrad(x, y, layers, horizon=50, alpha0=0.1, time_constant=100, beta=1)"),
    (
        "markdown",
        """Meta-descent moves the schedule along these derivatives. It is an iterator of dictionaries: take as many meta-steps as you
like, look at each when it comes, stop it with Ctrl-C. Three horizons, from one start:""",
    ),
    (
        "code",
        """start = {"alpha0": 0.03, "time_constant": 100, "beta": 1}
horizons = [20, 100, 1000]
paths = {
    horizon: pd.DataFrame(myopia.meta_descent(x, y, layers, horizon, **start, meta_steps=60))
    for horizon in horizons
}
best = pd.DataFrame({horizon: path.loc[path.loss.idxmin()] for horizon, path in paths.items()}).T
best.index.name = "horizon"
best[["alpha0", "time_constant", "beta", "loss"]]""",
    ),
    (
        "markdown",
        "What each horizon chose, trained for 1,000 steps:",
    ),
    (
        "code",
        """figure, (rates, losses) = plt.subplots(1, 2, figsize=(10, 3.6), layout="constrained")
table = {}
for horizon, schedule in best.iterrows():
    chosen = schedule[["alpha0", "time_constant", "beta"]].to_dict()
    run = myopia.train(x, y, layers, steps=1000, **chosen)
    rates.plot(run.learning_rate, label=f"tuned at {horizon} steps")
    losses.plot(pd.Series(run.loss).rolling(25).mean(), label=f"tuned at {horizon} steps")
    table[horizon] = {"loss at its horizon": schedule.loss, "held-out loss after 1,000": run.judged.loss}
rates.set(xlabel="step", ylabel="learning rate", yscale="log")
losses.set(xlabel="step", ylabel="loss of a batch, mean of 25", yscale="log")
figure.legend(*rates.get_legend_handles_labels(), loc="outside lower center", ncols=3)
plt.show()
table = pd.DataFrame(table).T
table.index.name = "tuned at"
table""",
    ),
    (
        "code",
        """ratio = table["held-out loss after 1,000"] / table["held-out loss after 1,000"].iloc[-1]
print(f"The schedule tuned at {horizons[0]} steps ends with {ratio.iloc[0]:.1f} times the loss of the one tuned at {horizons[-1]}.")""",
    ),
    (
        "markdown",
        """## Is my own hypergradient right?

`check_hypergradient` hands your function initial weights, batches and objective, and compares what it returns with the exact
loss and derivatives: see `against_jax.py` beside this notebook for one in JAX. Here a function that forgets β:""",
    ),
    (
        "code",
        """def mine(case):
    exact = myopia.hypergrad(x, y, layers, 50, case.alpha0, case.time_constant, case.beta, precision="f64")
    return exact.loss, exact.gradient * [1, 1, 0]

checked = myopia.check_hypergradient(mine, x, y, layers, 50, 0.1, 100.0, 1.0, precision="f64")
checked.agrees, checked.gradient_errors""",
    ),
]

if __name__ == "__main__":
    new = {"markdown": new_markdown_cell, "code": new_code_cell}
    cells = [new[kind](text) for kind, text in CELLS]
    for number, cell in enumerate(cells):
        cell["id"] = f"cell-{number}"
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    notebook = new_notebook(cells=cells, metadata={"kernelspec": kernel})
    nbformat.write(notebook, "short-horizon-bias.ipynb")
