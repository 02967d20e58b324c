// The view of the network.

import { core, type Cell, type MetaStep, type Problem, type Schedule, type Trained } from './core';
import * as charts from './charts';
import { Work, by, copy, csv, dash, el, frame, number, picture, save } from './dom';
import { Horizon } from './horizon';
import { aborted } from './pool';
import * as state from './state';

const FIELDS = [
  'hidden',
  'batch',
  'momentum',
  'judged',
  'seed',
  'meta-steps',
  'meta-lr',
  'alpha0',
  'time-constant',
  'beta',
  'end',
  'grid',
] as const;
type Field = (typeof FIELDS)[number];
const DEFAULTS: Record<string, string> = {
  hidden: '32',
  batch: '10',
  momentum: '0.9',
  judged: '200',
  seed: '1',
  'meta-steps': '60',
  'meta-lr': '0.1',
  alpha0: '0.01',
  'time-constant': '200',
  beta: '1',
  end: '2000',
  grid: '14',
  H: '20',
};
const MOST = 5000;
/** The plane of the surface. */
const ALPHA0: [number, number] = [0.003, 1];
const BETA: [number, number] = [0.03, 30];
const COLOURS = [
  'var(--tuned)',
  'var(--replan)',
  'var(--optimal)',
  'var(--greedy)',
  'var(--start)',
];
const DASHES = [undefined, '8 3', '10 3 2 3', '2 3', '5 5'];
/** Looks at the held-out digits in a run to the end. */
const LOOKS = 40;

/** What one horizon led to. */
interface Choice {
  horizon: number;
  best: MetaStep;
  curve: Trained['curve'];
  /** Its learning rate at some of the steps. */
  rates: [number, number][];
  trained: Trained | null;
}

const field = (name: Field) => by<HTMLInputElement>(`n-${name}`);
const value = (name: Field) => Number(field(name).value);

const lowest = (records: MetaStep[]): MetaStep | null =>
  records.reduce<MetaStep | null>(
    (best, record) => (!best || record.loss < best.loss ? record : best),
    null,
  );

export const start = (values: state.Values): void => {
  const [work, planeWork] = [new Work(by('n-work')), new Work(by('n-work-surface'))];
  const draw = frame(redraw);
  const horizon = new Horizon('n', () => {
    keep();
    draw();
  });
  let records: MetaStep[] = [];
  let tunedAt = 0;
  let choices: Choice[] = [];
  let cells: Cell[] = [];
  let side = 0;
  let planeOf = '';
  let planeAt = { horizon: 0, time_constant: 0 };

  const problem = (): Problem => ({
    hidden: value('hidden'),
    batch: value('batch'),
    momentum: value('momentum'),
    judged_by: value('judged'),
    seed: value('seed'),
  });
  const from = (): Schedule => ({
    alpha0: value('alpha0'),
    time_constant: value('time-constant'),
    beta: value('beta'),
  });
  const chosen = (): Choice | undefined =>
    choices.find((choice) => choice.horizon === horizon.value);

  function keep(): void {
    const now: state.Values = { H: String(horizon.value) };
    for (const name of FIELDS) now[name] = field(name).value;
    state.keep('network', now, DEFAULTS);
    // No command for what is no problem.
    const offered = by<HTMLFormElement>('n-form').checkValidity();
    for (const id of ['n-copy', 'n-surface-copy', 'n-train-copy'])
      by<HTMLButtonElement>(id).disabled = !offered;
    by<HTMLButtonElement>('n-train').disabled = !chosen();
    if (!offered) {
      for (const id of ['n-command', 'n-surface-command', 'n-train-command'])
        by(id).textContent = '';
      return;
    }
    const common = `--data glyphs --layers 64,${value('hidden')},10 --batch ${value('batch')} --momentum ${field('momentum').value} --objective-size ${value('judged')} --seed ${value('seed')}`;
    const schedule = (s: Schedule) =>
      `--alpha0 ${s.alpha0} --time-constant ${s.time_constant} --beta ${s.beta}`;
    by('n-command').textContent =
      `myopia meta ${common} --horizon ${horizon.value} --meta-steps ${value('meta-steps')} --meta-lr ${field('meta-lr').value} ${schedule(from())} --out meta`;
    by('n-surface-command').textContent =
      `myopia surface ${common} --horizon ${horizon.value} --axes alpha0,beta --alpha0-range ${ALPHA0} --beta-range ${BETA} --time-constant ${value('time-constant')} --grid ${value('grid')}x${value('grid')} --out surface`;
    const choice = chosen();
    by('n-train-command').parentElement!.hidden = !choice;
    if (choice)
      by('n-train-command').textContent =
        `myopia train ${common} --steps ${value('end')} ${schedule(choice.best)} --out train`;
  }

  const fail = (reason: unknown): void => {
    if (aborted(reason)) return;
    by('n-error').textContent = reason instanceof Error ? reason.message : String(reason);
    by('n-error').hidden = false;
    by('n-error').scrollIntoView({ block: 'nearest' });
  };

  const valid = (): boolean => {
    by('n-error').hidden = true;
    const form = by<HTMLFormElement>('n-form');
    if (form.checkValidity()) return true;
    const wrong = form.querySelector<HTMLInputElement>(':invalid');
    fail(
      new Error(`${wrong?.labels?.[0]?.textContent ?? 'a number'}: ${wrong?.validationMessage}`),
    );
    return false;
  };

  async function tune(): Promise<void> {
    if (!valid()) return;
    const [H, end] = [horizon.value, value('end')];
    records = [];
    tunedAt = H;
    void plane();
    const signal = work.begin(`Meta-descent at horizon ${H}`);
    by('n-sentence').textContent =
      `Each meta-step trains for ${H} steps and carries exact derivatives along.`;
    try {
      const found = await core.meta(
        {
          problem: problem(),
          horizon: H,
          meta_steps: value('meta-steps'),
          meta_lr: value('meta-lr'),
          schedule: from(),
        },
        {
          signal,
          priority: 5,
          progress: work.progress,
          part: (json) => {
            records = [...records, JSON.parse(json) as MetaStep];
            draw();
          },
        },
      );
      const best = lowest(found);
      if (!best) return;
      records = found;
      const { alpha0, time_constant, beta } = best;
      const places = Array.from({ length: 101 }, (_, i) => Math.round((i * end) / 100));
      const rates = await core.rates(
        { schedule: { alpha0, time_constant, beta }, steps: places },
        { signal, priority: 6 },
      );
      choices = [
        ...choices.filter((choice) => choice.horizon !== H),
        {
          horizon: H,
          best,
          curve: [],
          rates: places.map((k, i): [number, number] => [k, rates[i]]),
          trained: null,
        },
      ].sort((a, b) => a.horizon - b.horizon);
      by('n-sentence').textContent =
        `Horizon ${H} moved α₀ from ${number(found[0].alpha0)} to ${number(best.alpha0)}, K from ${number(found[0].time_constant)} to ${number(best.time_constant)} and β from ${number(found[0].beta)} to ${number(best.beta)}: ` +
        `the loss after ${H} steps fell from ${number(found[0].loss)} to ${number(best.loss)} nats. What is it worth after ${end}?`;
    } catch (reason) {
      fail(reason);
    } finally {
      work.end(signal);
      keep();
      draw();
    }
  }

  async function plane(): Promise<void> {
    if (!valid()) return;
    side = value('grid');
    const request = {
      problem: problem(),
      horizon: horizon.value,
      time_constant: value('time-constant'),
      alpha0: ALPHA0,
      beta: BETA,
      columns: side,
      rows: side,
    };
    const of = JSON.stringify(request);
    if (of === planeOf && cells.length === side * side) return draw();
    planeOf = of;
    planeAt = request;
    cells = [];
    const signal = planeWork.begin(`Surface at horizon ${horizon.value}: ${side * side} trainings`);
    try {
      await core.surface(request, {
        signal,
        priority: 4,
        progress: planeWork.progress,
        part: (json) => {
          cells.push(JSON.parse(json) as Cell);
          draw();
        },
      });
    } catch (reason) {
      fail(reason);
    } finally {
      planeWork.end(signal);
      draw();
    }
  }

  async function train(): Promise<void> {
    const choice = chosen();
    if (!choice || !valid()) return;
    const steps = value('end');
    choice.curve = [];
    choice.trained = null;
    const signal = work.begin(`Training ${steps} steps with what horizon ${choice.horizon} chose`);
    try {
      const { alpha0, time_constant, beta } = choice.best;
      choice.trained = await core.train(
        {
          problem: problem(),
          schedule: { alpha0, time_constant, beta },
          steps,
          every: Math.max(1, Math.round(steps / LOOKS)),
        },
        {
          signal,
          priority: 5,
          progress: work.progress,
          part: (json) => {
            choice.curve.push(JSON.parse(json));
            draw();
          },
        },
      );
      by('n-sentence').textContent = sentence(choice, steps);
    } catch (reason) {
      fail(reason);
    } finally {
      work.end(signal);
      draw();
    }
  }

  function sentence(choice: Choice, steps: number): string {
    const own = `What horizon ${choice.horizon} chose ends, after ${steps} steps, at a validation loss of ${number(choice.trained?.judged.loss)} nats, with ${number(100 * (choice.trained?.test.accuracy ?? NaN))} % of the test digits correct.`;
    const done = choices.filter((other) => other.trained);
    const [short, long] = [done[0], done.at(-1)];
    if (!short?.trained || !long?.trained || short === long)
      return `${own} Now choose a longer horizon, tune, and train again.`;
    const ratio = short.trained.judged.loss / long.trained.judged.loss;
    return `${own} Horizon ${short.horizon} ends with ${number(ratio)} times the loss of horizon ${long.horizon}.`;
  }

  const look = (i: number) => ({
    colour: COLOURS[i % COLOURS.length],
    dash: DASHES[i % DASHES.length],
  });

  const swatch = (i: number) => dash(look(i).colour, look(i).dash);

  function redraw(): void {
    table();
    const nothing = {
      'n-csv': records.length === 0,
      'n-surface-csv': cells.length === 0,
      'n-training-csv': choices.every((choice) => choice.curve.length === 0),
    };
    for (const [id, disabled] of Object.entries(nothing))
      by<HTMLButtonElement>(id).disabled = disabled;
    by<HTMLButtonElement>('n-svg').disabled = nothing['n-csv'] && nothing['n-surface-csv'];
    if (by('view-network').hidden) return;
    const width = (id: string) => by(id).clientWidth || 480;
    const best = lowest(records);
    if (side > 0)
      charts.surface(by('n-plane'), {
        cells,
        alpha0: ALPHA0,
        beta: BETA,
        columns: side,
        rows: side,
        best,
        width: width('n-plane'),
        path: records,
        title: `Validation loss over α₀ and β at horizon ${tunedAt || horizon.value}, ${cells.length} cells, and the path of meta-descent, ${records.length} points; the table below has its end`,
      });
    charts.lines(
      by('n-descent'),
      [{ name: 'loss', ...look(0), points: records.map((r) => [r.meta_step, r.loss]) }],
      {
        x: 'meta-step',
        y: 'loss (nats)',
        title: `Validation loss after ${tunedAt} steps by meta-step`,
        width: width('n-descent'),
        height: 330,
        end: Math.max(1, records.length - 1),
      },
    );
    const end = value('end');
    const mark = horizon.value <= end ? horizon.value : undefined;
    by('n-legend').replaceChildren(
      ...choices.map((choice, i) => el('span', {}, swatch(i), ` H = ${choice.horizon}`)),
    );
    const rates = choices.map((choice, i): charts.Curve => ({
      name: `H = ${choice.horizon}`,
      ...look(i),
      points: choice.rates,
    }));
    charts.lines(by('n-rates'), rates, {
      x: 'training step k',
      y: 'α',
      title: `Learning rates that the horizons ${choices.map((c) => c.horizon).join(', ')} chose`,
      width: width('n-rates'),
      end,
      mark,
      markName: `H = ${horizon.value}`,
    });
    const training = choices.map((choice, i): charts.Curve => ({
      name: `H = ${choice.horizon}`,
      ...look(i),
      points: choice.curve.map((l) => [l.step, l.loss]),
    }));
    charts.lines(by('n-training'), training, {
      x: 'training step k',
      y: 'loss (nats)',
      title: 'Validation loss in training to the end, by what each horizon chose',
      width: width('n-training'),
      end,
      mark,
      markName: `H = ${horizon.value}`,
    });
  }

  function table(): void {
    const rows = choices.map((choice, i) => {
      const { best, trained } = choice;
      const cells = [
        best.alpha0,
        best.time_constant,
        best.beta,
        best.loss,
        trained?.judged.loss,
        trained?.test.loss,
      ];
      const accuracy = trained ? `${number(100 * trained.test.accuracy)} %` : '–';
      return el(
        'tr',
        {
          'data-horizon': String(choice.horizon),
          ...(trained ? { 'data-digest': trained.digest } : {}),
        },
        el('th', { scope: 'row' }, swatch(i), ` H = ${choice.horizon}`),
        ...cells.map((x) =>
          el('td', x === undefined ? {} : { 'data-value': String(x) }, number(x)),
        ),
        el('td', {}, accuracy),
      );
    });
    if (rows.length === 0)
      rows.push(el('tr', {}, el('td', { colspan: '8' }, 'Nothing yet: tune at a horizon.')));
    (by('n-table').querySelector('tbody') as HTMLElement).replaceChildren(...rows);
  }

  const invitation = by('n-sentence').textContent;

  /** Another problem: what was found is no longer of it. */
  function changed(event: Event): void {
    if (event.target === field('end')) {
      // What was chosen stays chosen; only what it led to was of another length.
      work.cancel();
      for (const choice of choices) [choice.curve, choice.trained] = [[], null];
      valid();
      keep();
      return draw();
    }
    by('n-sentence').textContent = invitation;
    records = [];
    choices = [];
    cells = [];
    side = 0;
    planeOf = '';
    work.cancel();
    planeWork.cancel();
    for (const id of ['n-plane', 'n-descent', 'n-rates', 'n-training']) by(id).replaceChildren();
    valid();
    keep();
    draw();
  }

  for (const name of FIELDS) {
    field(name).value = values[name] ?? DEFAULTS[name];
    if (field(name).value === '') field(name).value = DEFAULTS[name];
  }
  horizon.set(MOST, Number(values.H ?? DEFAULTS.H));
  by('n-form').addEventListener('input', changed);
  by('n-form').addEventListener('submit', (event) => event.preventDefault());
  by('n-tune').addEventListener('click', () => void tune());
  by('n-train').addEventListener('click', () => void train());
  by('n-surface').addEventListener('click', () => {
    if (tunedAt !== horizon.value) records = [];
    tunedAt = horizon.value;
    void plane();
  });
  const taken = (
    id: string,
    name: string,
    header: string[],
    rows: () => (string | number | null)[][],
  ) => by(id).addEventListener('click', () => save(name, 'text/csv', csv(header, rows())));
  taken(
    'n-csv',
    'trajectory.csv',
    [
      'meta_step',
      'alpha0',
      'time_constant',
      'beta',
      'loss',
      'd_alpha0',
      'd_time_constant',
      'd_beta',
    ],
    () =>
      records.map((r) => [
        r.meta_step,
        r.alpha0,
        r.time_constant,
        r.beta,
        r.loss,
        r.d_alpha0,
        r.d_time_constant,
        r.d_beta,
      ]),
  );
  taken(
    'n-surface-csv',
    'surface.csv',
    ['cell', 'alpha0', 'time_constant', 'beta', 'horizon', 'loss'],
    () =>
      cells.map((cell, i) => [
        i,
        cell.alpha0,
        planeAt.time_constant,
        cell.beta,
        planeAt.horizon,
        cell.loss,
      ]),
  );
  taken(
    'n-training-csv',
    'training.csv',
    [
      'horizon',
      'alpha0',
      'time_constant',
      'beta',
      'step',
      'validation_loss',
      'validation_accuracy',
    ],
    () =>
      choices.flatMap(({ horizon, best, curve }) =>
        curve.map((look) => [
          horizon,
          best.alpha0,
          best.time_constant,
          best.beta,
          look.step,
          look.loss,
          look.accuracy,
        ]),
      ),
  );
  by('n-svg').addEventListener('click', () =>
    save(
      'network.svg',
      'image/svg+xml',
      charts.file(
        ['n-plane', 'n-descent', 'n-rates', 'n-training'].map((id) => by(id)),
        choices.map((choice, i) => ({ name: `H = ${choice.horizon}`, ...look(i) })),
      ),
    ),
  );
  by('n-link').addEventListener('click', () => void copy(state.link(), null, by('n-link')));
  for (const what of ['n', 'n-surface', 'n-train']) {
    const code = what === 'n' ? 'n-command' : `${what}-command`;
    by(`${what}-copy`).addEventListener(
      'click',
      () => void copy(by(code).textContent ?? '', by(code), by(`${what}-copy`)),
    );
  }
  addEventListener('resize', draw);
  let shown = false;
  document.addEventListener('view', () => {
    draw();
    if (shown || by('view-network').hidden) return;
    shown = true;
    void core
      .glyphs(24)
      .then(
        (digits) =>
          by('n-digits').replaceChildren(...digits.map(({ pixels }) => picture(pixels, 8))),
        fail,
      );
  });
  keep();
  draw();
};
