"""A hypergradient by JAX beside the exact one: is my own code right, and how long does each take?

    pip install ./host/python jax
    python host/python/examples/against_jax.py            # --layers, --horizon, --examples for others

`jax.jacfwd` through a `lax.scan` is what most people would write. The data are random pictures, most
of whose pixels are zero, as MNIST's are.
"""

import argparse
import time

import jax
import jax.numpy as jnp
import numpy as np

import myopia

jax.config.update("jax_enable_x64", True)


def hypergradient(case: myopia.Exported):
    """The objective after training and its derivatives by alpha0, K and beta, in the float of the
    exported weights."""
    weights = [
        (jnp.asarray(w), jnp.asarray(b)) for w, b in zip(case.weights, case.biases, strict=True)
    ]
    x, y = jnp.asarray(case.x), jnp.asarray(case.y)

    def mean_loss(layers, rows):
        hidden = x[rows]
        for w, b in layers[:-1]:
            hidden = jax.nn.relu(hidden @ w + b)
        w, b = layers[-1]
        log_p = jax.nn.log_softmax(hidden @ w + b)
        return -jnp.mean(jnp.take_along_axis(log_p, y[rows][:, None], axis=1))

    def after_training(schedule):
        alpha0, time_constant, beta = schedule

        def step(state, batch):
            layers, velocity = state
            k, rows = batch
            rate = alpha0 / (1 + k / time_constant) ** beta
            gradient = jax.grad(mean_loss)(layers, rows)
            velocity = jax.tree.map(lambda v, g: case.momentum * v - rate * g, velocity, gradient)
            return (jax.tree.map(jnp.add, layers, velocity), velocity), None

        rest = jax.tree.map(jnp.zeros_like, weights)
        steps = jnp.arange(len(case.batches), dtype=x.dtype)
        (layers, _), _ = jax.lax.scan(step, (weights, rest), (steps, jnp.asarray(case.batches)))
        loss = mean_loss(layers, jnp.asarray(case.objective))
        return loss, loss

    schedule = jnp.asarray([case.alpha0, case.time_constant, case.beta], dtype=x.dtype)
    gradient, loss = jax.jit(jax.jacfwd(after_training, has_aux=True))(schedule)
    return loss, gradient


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--layers", default="784,100,100,10")
    parser.add_argument("--horizon", type=int, default=100)
    parser.add_argument("--examples", type=int, default=3000)
    options = parser.parse_args()
    layers = [int(units) for units in options.layers.split(",")]

    random = np.random.default_rng(1)
    x = random.integers(0, 256, (options.examples, layers[0]), dtype=np.uint8)
    x[random.random(x.shape) < 0.81] = 0
    y = random.permutation(np.arange(options.examples) % layers[-1])
    schedule = {"alpha0": 0.05, "time_constant": 100.0, "beta": 1.0}

    for precision in ["f64", "f32"]:
        arguments = dict(x=x, y=y, layers=layers, horizon=options.horizon, precision=precision)
        found = myopia.check_hypergradient(hypergradient, **arguments, **schedule)
        print(f"{precision}  {'agrees' if found.agrees else 'DIFFERS'}")
        print(
            f"  loss      {found.loss:.9f}  exact {found.exact.loss:.9f}  digest {found.exact.digest}"
        )
        for name, theirs, exact, error in zip(
            found.exact.names,
            found.gradient,
            found.exact.gradient,
            found.gradient_errors,
            strict=True,
        ):
            print(f"  d/d {name:<14}{theirs:+.9e}  exact {exact:+.9e}  apart by {error:.1e}")

    case = myopia.export(**arguments, **schedule)
    for name, work in [
        ("myopia", lambda: myopia.hypergrad(**arguments, **schedule)),
        ("jax, with compilation", lambda: jax.block_until_ready(hypergradient(case))),
    ]:
        began = time.perf_counter()
        work()
        print(f"{name:<24}{time.perf_counter() - began:.2f} s for {options.horizon} steps, f32")


if __name__ == "__main__":
    main()
