// What the core is asked, with types.

import { Pool, type Options } from './pool';

declare const WORKER: string;

const bytes = (): Uint8Array<ArrayBuffer> => {
  const base64 = document.getElementById('wasm')?.textContent ?? '';
  const binary = atob(base64);
  const bytes = new Uint8Array(binary.length);
  for (let i = 0; i < binary.length; i += 1) bytes[i] = binary.charCodeAt(i);
  return bytes;
};

const script = URL.createObjectURL(new Blob([WORKER], { type: 'text/javascript' }));
const WORKERS = Math.min(4, Math.max(2, navigator.hardwareConcurrency || 2));
const pool = new Pool(WebAssembly.compile(bytes()), script, WORKERS);
/** Requests that may be computed ahead at a time: the others are for what is asked for now. */
export const SPARE = Math.max(1, WORKERS - 2);

/** The options of `myopia nqm`, in the words which the command takes. */
export type Words = Record<string, string | number | undefined>;

export interface Tuned {
  alpha0: number;
  time_constant: number;
  beta: number;
  /** At the horizon it was tuned for. */
  excess_loss: number;
}

export interface Band {
  lowest: number;
  highest: number;
  directions: number;
  losses: number[];
}

/** What `myopia nqm --json` prints. */
export interface Run {
  excess_loss: number;
  loss: number;
  losses: number[];
  learning_rates: number[];
  momenta: number[];
  cooled_losses: number[];
  noiseless_losses: number[];
  bands: Band[];
  gradient_norm?: number;
  iterations?: number;
  stationary?: boolean;
}

/** A run with what is drawn besides. */
export interface Shown extends Run {
  excess_losses: number[];
  tuned: Tuned | null;
}

export interface Verified {
  experiment: string;
  digest: string | null;
  expected: string;
  equal: boolean;
}

export interface Problem {
  hidden: number;
  batch: number;
  momentum: number;
  judged_by: number;
  seed: number;
}

export interface Schedule {
  alpha0: number;
  time_constant: number;
  beta: number;
}

export interface MetaStep extends Schedule {
  meta_step: number;
  loss: number;
  d_alpha0: number;
  d_time_constant: number;
  d_beta: number;
}

export interface Cell {
  alpha0: number;
  beta: number;
  loss: number | null;
}

export interface Judged {
  loss: number;
  accuracy: number;
}

export interface Trained {
  curve: (Judged & { step: number })[];
  judged: Judged;
  test: Judged;
  digest: string;
}

export interface Digit {
  pixels: number[];
  label: number;
}

const words = (options: Words): Record<string, string> => {
  // Scripts that are not typed ask as well.
  if (typeof options !== 'object' || options === null)
    throw new Error(`a run is asked for by an object such as {schedule: 'greedy'}, not ${options}`);
  return Object.fromEntries(
    Object.entries(options)
      .filter(([, value]) => value !== undefined && value !== '')
      .map(([name, value]) => [name, String(value)]),
  );
};

const ask = async <T>(request: object, options?: Options): Promise<T> =>
  JSON.parse(await pool.run(request, options)) as T;

export const core = {
  nqmText: async (options: Words, how?: Options) =>
    pool.run({ task: 'nqm', options: words(options) }, how),
  nqm: async (options: Words, how?: Options) =>
    ask<Run>({ task: 'nqm', options: words(options) }, how),
  run: (options: Words, how?: Options) => ask<Shown>({ task: 'run', options: words(options) }, how),
  verify: (how?: Options) => ask<Verified[]>({ task: 'verify' }, how),
  glyphs: (count: number) => ask<Digit[]>({ task: 'glyphs', count }),
  meta: (
    descent: {
      problem: Problem;
      horizon: number;
      meta_steps: number;
      meta_lr: number;
      schedule: Schedule;
    },
    how?: Options,
  ) => ask<MetaStep[]>({ task: 'meta', ...descent }, how),
  surface: (
    plane: {
      problem: Problem;
      horizon: number;
      time_constant: number;
      alpha0: [number, number];
      beta: [number, number];
      columns: number;
      rows: number;
    },
    how?: Options,
  ) => ask<Cell[]>({ task: 'surface', ...plane }, how),
  rates: (of: { schedule: Schedule; steps: number[] }, how?: Options) =>
    ask<number[]>({ task: 'rates', ...of }, how),
  train: (
    training: { problem: Problem; schedule: Schedule; steps: number; every: number },
    how?: Options,
  ) => ask<Trained>({ task: 'train', ...training }, how),
};
