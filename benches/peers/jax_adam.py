"""Optax's Adam under JAX: the peer of our Adam, for `against-jax`.

The paper's network, 784-100-100-10, trains on 200 batches of 100 images with the schedule
alpha_k = alpha0 / (1 + k/K)^beta; the loss of a last batch is differentiated by alpha0, K and beta.
Microseconds a step, as one line of JSON for each way:

  adam_plain          no derivative
  adam_jacfwd_scan    forward mode through the whole scan, vmapped over the three directions
  adam_per_step_loop  the three tangents carried by hand, a linearised step each
  adam_reverse_scan   reverse mode through the scan

Needs jax, optax and numpy. `--mnist DIR` takes the images from MNIST's files, otherwise they are
drawn with as many zeros.
"""

import argparse
import gzip
import json
import os
import pathlib
import statistics
import time

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("--threads", type=int, default=1)
parser.add_argument("--mnist", type=pathlib.Path)
parser.add_argument("--rounds", type=int, default=7)
args = parser.parse_args()

# Before JAX is imported: its threads are as many as it finds processors.
os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: args.threads])
if args.threads == 1:
    flags = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
    os.environ["XLA_FLAGS"] = " ".join([os.environ.get("XLA_FLAGS", ""), flags]).strip()

import jax  # noqa: E402
import jax.numpy as jnp  # noqa: E402
import numpy as np  # noqa: E402
import optax  # noqa: E402

SIZES, STEPS, BATCH = [784, 100, 100, 10], 200, 100
SCHEDULE = jnp.array([1e-3, 100.0, 1.0], jnp.float32)
# Without eps_root its derivatives are not numbers: where a gradient is zero it takes the root of zero.
ADAM = optax.scale_by_adam(b1=0.9, b2=0.999, eps=1e-8, eps_root=1e-16)


def rates(schedule):
    alpha0, time_constant, beta = schedule
    return alpha0 / (1 + jnp.arange(STEPS, dtype=jnp.float32) / time_constant) ** beta


def loss(parameters, batch):
    hidden, targets = batch
    for weight, bias in parameters[:-1]:
        hidden = jax.nn.relu(hidden @ weight + bias)
    weight, bias = parameters[-1]
    chances = jax.nn.log_softmax(hidden @ weight + bias)
    return -jnp.mean(jnp.sum(targets * chances, axis=1))


def step(state, rate, batch):
    parameters, moments = state
    direction, moments = ADAM.update(jax.grad(loss)(parameters, batch), moments)
    return jax.tree.map(lambda p, d: p - rate * d, parameters, direction), moments


def train(schedule, parameters, batches, last):
    def body(state, inputs):
        return step(state, *inputs), None

    state = (parameters, ADAM.init(parameters))
    (parameters, _), _ = jax.lax.scan(body, state, (rates(schedule), batches))
    return loss(parameters, last)


def jacfwd_scan(schedule, *data):
    def push(tangent):
        return jax.jvp(lambda s: train(s, *data), (schedule,), (tangent,))

    return jax.vmap(push, out_axes=(None, 0))(jnp.eye(3, dtype=schedule.dtype))


def per_step_loop(schedule, parameters, batches, last):
    def body(carry, inputs):
        state, tangents = carry
        rate, rate_tangents, batch = inputs
        state, push = jax.linearize(lambda s, r: step(s, r, batch), state, rate)
        return (state, [push(t, rate_tangents[j]) for j, t in enumerate(tangents)]), None

    state = (parameters, ADAM.init(parameters))

    def no_tangent(x):
        # The count of steps is an integer, whose tangent is nothing.
        is_float = jnp.issubdtype(x.dtype, jnp.floating)
        return jnp.zeros_like(x) if is_float else np.zeros(x.shape, jax.dtypes.float0)

    tangents = [jax.tree.map(no_tangent, state) for _ in range(3)]
    inputs = (rates(schedule), jax.jacfwd(rates)(schedule), batches)
    ((parameters, _), tangents), _ = jax.lax.scan(body, (state, tangents), inputs)
    value, push = jax.linearize(lambda p: loss(p, last), parameters)
    return value, jnp.stack([push(t[0]) for t in tangents])


def reverse_scan(schedule, *data):
    return jax.value_and_grad(train)(schedule, *data)


def images(rng):
    if args.mnist is None:
        shape = (STEPS + 1, BATCH, SIZES[0])
        drawn = np.where(rng.random(shape) < 0.191, rng.random(shape), 0).astype(np.float32)
        return drawn, rng.integers(10, size=shape[:2])

    def read(name, header):
        return np.frombuffer(gzip.decompress((args.mnist / name).read_bytes()), np.uint8, offset=header)

    pixels = read("train-images-idx3-ubyte.gz", 16).reshape(-1, SIZES[0])
    labels = read("train-labels-idx1-ubyte.gz", 8)
    chosen = rng.integers(len(labels), size=(STEPS + 1, BATCH))
    return pixels[chosen].astype(np.float32) / np.float32(255), labels[chosen]


def main():
    rng = np.random.default_rng(1)
    pixels, labels = images(rng)
    batches = (pixels, np.eye(10, dtype=np.float32)[labels])
    parameters = [
        (jnp.asarray(rng.normal(0, (2 / n) ** 0.5, (n, m)), jnp.float32), jnp.zeros(m, jnp.float32))
        for n, m in zip(SIZES, SIZES[1:])
    ]
    training, last = ([jnp.asarray(part) for part in parts] for parts in
                      ([x[:-1] for x in batches], [x[-1] for x in batches]))
    data = (parameters, tuple(training), tuple(last))
    ways = {"plain": train, "jacfwd_scan": jacfwd_scan, "reverse_scan": reverse_scan}
    try:
        jax.eval_shape(per_step_loop, SCHEDULE, *data)
        ways["per_step_loop"] = per_step_loop
    except TypeError:
        pass  # Some releases carry no tangent of an integer through a scan.
    compiled = {name: jax.jit(way).lower(SCHEDULE, *data).compile() for name, way in ways.items()}
    times = {name: [] for name in compiled}
    for _ in range(args.rounds + 1):
        for name, run in compiled.items():
            started = time.perf_counter()
            jax.block_until_ready(run(SCHEDULE, *data))
            times[name].append((time.perf_counter() - started) * 1e6 / STEPS)
    for name, taken in times.items():
        found = compiled[name](SCHEDULE, *data)
        value, gradient = (found, []) if name == "plain" else found
        print(json.dumps({
            "peer": "jax", "version": jax.__version__, "variant": f"adam_{name}",
            "us_per_step": {"median": statistics.median(taken[1:])},
            "loss": float(value), "hypergradient": np.asarray(gradient).tolist(),
        }))


main()
