// The view of the noisy quadratic.

import { SPARE, core, type Shown, type Words } from './core';
import * as charts from './charts';
import { Work, by, copy, csv, el, frame, number, save, short, widths } from './dom';
import { Horizon } from './horizon';
import { aborted } from './pool';
import * as state from './state';

const FIELDS = [
  'dim',
  'steps',
  'momentum',
  'mean0',
  'var0',
  'range',
  'variance',
  'spectrum',
  'noise',
] as const;
const DEFAULTS: Record<string, string> = {
  dim: '100',
  steps: '250',
  momentum: '0',
  mean0: '0',
  var0: '1',
  spectrum: 'inverse',
  noise: 'inverse',
  range: '0.001,1',
  variance: '1',
  H: '10',
  hide: '',
};

const KINDS = ['greedy', 'replan', 'tuned', 'optimal'] as const;
type Kind = (typeof KINDS)[number];
const LOOK: Record<Kind, { colour: string; dash?: string; width?: number }> = {
  greedy: { colour: 'var(--greedy)', dash: '2 3' },
  replan: { colour: 'var(--replan)', dash: '8 3' },
  tuned: { colour: 'var(--tuned)', width: 2.6 },
  optimal: { colour: 'var(--optimal)', dash: '10 3 2 3' },
};

/** Milliseconds that the horizon rests before replan:H, which takes seconds, is computed, and that tuning takes before it is shown as work. */
const REST = 300;

/** The runs that are drawn, by the kind of their schedule. */
type Drawn = [Kind, Shown][];

const field = (name: string) => by<HTMLInputElement | HTMLSelectElement>(`q-${name}`);

/** Runs by problem and schedule; each is asked for once. */
class Runs {
  private found = new Map<string, Shown>();
  private asked = new Map<string, Promise<Shown>>();
  private control = new AbortController();

  constructor(public words: Words) {}

  get(schedule: string): Shown | undefined {
    return this.found.get(schedule);
  }

  ask(
    schedule: string,
    priority: number,
    signal?: AbortSignal,
    progress?: (done: number, of: number) => void,
    overtaken?: AbortSignal,
  ): Promise<Shown> {
    const known = this.asked.get(schedule);
    if (known) return known;
    const run = core
      .run(
        { ...this.words, schedule },
        { priority, progress, overtaken, signal: signal ?? this.control.signal },
      )
      .then((found) => {
        this.found.set(schedule, found);
        return found;
      })
      .catch((reason: unknown) => {
        this.asked.delete(schedule);
        throw reason;
      });
    this.asked.set(schedule, run);
    return run;
  }

  drop(): void {
    this.control.abort();
  }
}

export const start = (values: state.Values): void => {
  let runs = new Runs({});
  let rest = 0;
  let wanted = '';
  let searching = false;
  /** Whether the core refuses the problem. */
  let refused = false;
  /** Of the horizons that are tuned ahead; another number ends it, none once work was cancelled. */
  let round: number | null = 0;
  let overtaken = new AbortController();
  const stopAhead = () => (round = null);
  // What was cancelled is not replaced by what waits for the horizon to rest.
  const work = new Work(by('q-work'), () => {
    stopAhead();
    clearTimeout(rest);
  });
  const tuning = new Work(by('q-tuning'), stopAhead);
  const [rates, losses, bands] = [by('q-rates'), by('q-losses'), by('q-bands')];
  const draw = frame(redraw);
  const drawBands = frame(redrawBands);
  const width = widths([rates, losses, bands], draw);
  const horizon = new Horizon('q', moved);

  const steps = () => Number(field('steps').value);
  const name = (kind: Kind): string =>
    kind === 'greedy' || kind === 'optimal' ? kind : `${kind}:${horizon.value}`;

  const value = (name: string): string => {
    const input = field(name);
    return input.type === 'number'
      ? String((input as HTMLInputElement).valueAsNumber)
      : input.value;
  };

  /** The problem in the words of the command line. */
  const words = (): Words => {
    const spectrum = field('spectrum').value;
    const noise = field('noise').value;
    return {
      dim: value('dim'),
      spectrum: spectrum === 'inverse' ? spectrum : `${spectrum}:${field('range').value}`,
      noise: noise === 'constant' ? `constant:${value('variance')}` : noise,
      mean0: value('mean0'),
      var0: value('var0'),
      steps: value('steps'),
      momentum: value('momentum'),
    };
  };

  const shows = (kind: Kind) => by<HTMLInputElement>(`q-show-${kind}`).checked;

  function keep(): void {
    // What a link brings must not be offered as a command unless it is a problem.
    const copying = by<HTMLButtonElement>('q-copy');
    copying.disabled = refused || !by<HTMLFormElement>('q-form').checkValidity();
    if (copying.disabled) {
      by('q-command').textContent = '';
      return;
    }
    const now: state.Values = { H: String(horizon.value) };
    for (const name of FIELDS) now[name] = field(name).value;
    if (now.spectrum === 'inverse') now.range = DEFAULTS.range;
    if (now.noise !== 'constant') now.variance = DEFAULTS.variance;
    now.hide = KINDS.filter((kind) => !shows(kind)).join(',');
    state.keep('quadratic', now, DEFAULTS);
    const options = Object.entries(words()).map(([name, value]) => `--${name} ${value}`);
    by('q-command').textContent =
      `myopia nqm compare ${KINDS.map(name).join(' ')} ${options.join(' ')} --out quadratic`;
  }

  const fail = (reason: unknown): void => {
    if (aborted(reason)) return;
    const box = by('q-error');
    box.textContent = reason instanceof Error ? reason.message : String(reason);
    box.hidden = false;
    box.scrollIntoView({ block: 'nearest' });
    findings();
  };

  /** A new problem. */
  function changed(): void {
    const unused = {
      range: field('spectrum').value === 'inverse',
      variance: field('noise').value !== 'constant',
    };
    for (const [name, hidden] of Object.entries(unused)) {
      by(`q-${name}-field`).hidden = hidden;
      field(name).disabled = hidden;
    }
    by('q-error').hidden = true;
    refused = false;
    runs.drop();
    work.cancel();
    tuning.cancel();
    wanted = '';
    runs = new Runs({});
    const form = by<HTMLFormElement>('q-form');
    if (!form.checkValidity()) {
      keep();
      draw();
      const wrong = form.querySelector<HTMLInputElement>(':invalid');
      return fail(
        new Error(`${wrong?.labels?.[0]?.textContent ?? 'a number'}: ${wrong?.validationMessage}`),
      );
    }
    runs = new Runs(words());
    by('q-of').textContent = String(steps());
    horizon.set(steps());
    const mine = runs;
    const ask = (schedule: string, priority: number) =>
      mine.ask(schedule, priority).then(
        () => mine === runs && draw(),
        (reason) => mine === runs && fail(reason),
      );
    mine.ask('greedy', 9).then(draw, (reason) => {
      if (mine !== runs || aborted(reason)) return;
      refused = true;
      keep();
      fail(reason);
    });
    void ask(`tuned:${steps()}`, 6);
    moved();
    search();
    round = 0;
    prepare();
  }

  /** Begins the search for the optimal schedule, and for replan:H after it. */
  function search(): void {
    const mine = runs;
    searching = true;
    const signal = work.begin(`Searching the optimal schedule of ${steps()} steps`, search);
    void mine
      .ask('optimal', 8, signal, work.progress)
      .then(draw, fail)
      .finally(() => {
        work.end(signal);
        if (mine !== runs) return;
        searching = false;
        // What was cancelled says so until it begins again or the horizon moves.
        if (!signal.aborted) replan();
      });
  }

  /** Tunes at every stop of the slider, the nearest first, so that a drag finds what it asks for. */
  function prepare(): void {
    if (round === null || by('view-quadratic').hidden) return;
    const [mine, own] = [runs, (round += 1)];
    const near = (stop: number) => Math.abs(Math.log(stop / horizon.value));
    const left = [...horizon.stops];
    const goes = () => mine === runs && own === round && !by('view-quadratic').hidden;
    const ahead = async () => {
      while (goes() && left.length > 0) {
        left.sort((a, b) => near(b) - near(a));
        await mine.ask(`tuned:${left.pop()}`, 1).catch(() => undefined);
      }
    };
    for (let i = 0; i < SPARE; i += 1) void ahead();
  }

  /** Another horizon. */
  function moved(): void {
    keep();
    // At once: browsers bring one such event a frame.
    redraw();
    tune();
    clearTimeout(rest);
    rest = window.setTimeout(replan, REST);
  }

  /** Tunes at the horizon; one that was passed on the way is not waited for. */
  function tune(): void {
    const [mine, schedule] = [runs, name('tuned')];
    overtaken.abort();
    overtaken = new AbortController();
    tuning.cancel();
    if (runs.get(schedule)) return;
    const control = new AbortController();
    const shown = setTimeout(() => {
      const signal = tuning.begin(`Tuning at horizon ${schedule.slice(6)}`, tune);
      signal.addEventListener('abort', () => control.abort());
      control.signal.addEventListener('abort', () => tuning.end(signal));
    }, REST);
    const here = () => mine === runs && schedule === name('tuned');
    void mine
      .ask(
        schedule,
        10,
        control.signal,
        (done, of) => here() && tuning.progress(done, of),
        overtaken.signal,
      )
      .then(
        () => mine === runs && draw(),
        (reason) => mine === runs && fail(reason),
      )
      .finally(() => {
        clearTimeout(shown);
        if (here() && runs.get(schedule)) tuning.cancel();
      });
  }

  /** Begins the search for replan:H unless the optimal schedule is still being searched. */
  function replan(): void {
    const schedule = name('replan');
    if (searching || runs.get(schedule) || wanted === schedule || !shows('replan')) return;
    wanted = schedule;
    const mine = runs;
    const signal = work.begin(`Planning again in every step: ${schedule}`, replan);
    mine
      .ask(schedule, 5, signal, work.progress)
      .then(draw, fail)
      .finally(() => {
        work.end(signal);
        if (wanted === schedule) wanted = '';
      });
  }

  const curve = (kind: Kind, points: [number, number][]): charts.Curve => ({
    name: name(kind),
    points,
    ...LOOK[kind],
  });
  const numbered = (values: number[]): [number, number][] => values.map((value, k) => [k, value]);

  const axes = (box: HTMLElement, y: string, what: string, drawn: Drawn): charts.Axes => ({
    x: 'training step k',
    y,
    title: `${what} for ${drawn.map(([kind]) => name(kind)).join(', ')}, by training step; the numbers are in the table below`,
    width: width(box),
    end: steps(),
    mark: horizon.value,
    markName: `H = ${horizon.value}`,
  });

  const found = () => KINDS.map((kind) => [kind, runs.get(name(kind))] as const);

  /** What is computed and shown. */
  const drawn = (): Drawn =>
    found().filter((pair): pair is Drawn[0] => Boolean(pair[1]) && shows(pair[0]));

  /** Schedules, losses, table and sentence; the bands, which take as long again, a frame later. */
  function redraw(): void {
    if (by('view-quadratic').hidden) return;
    by('q-replan-name').textContent = name('replan');
    by('q-tuned-name').textContent = name('tuned');
    const now = drawn();
    if (now.length > 0) {
      charts.lines(
        rates,
        now.map(([kind, run]) => curve(kind, numbered(run.learning_rates))),
        axes(rates, 'α', 'Learning rates', now),
      );
      charts.lines(
        losses,
        now.map(([kind, run]) => curve(kind, numbered(run.excess_losses))),
        axes(losses, 'loss', 'Expected excess losses', now),
      );
      drawBands();
    } else for (const box of [rates, losses, bands]) box.replaceChildren();
    table(found());
    findings();
  }

  function redrawBands(): void {
    const now = drawn();
    if (now.length === 0) return;
    const panels = now[0][1].bands.map((band, i) => ({
      title: `h from ${short(band.lowest)} to ${short(band.highest)}: ${band.directions} ${band.directions === 1 ? 'direction' : 'directions'}`,
      curves: now.map(([kind, run]) => curve(kind, numbered(run.bands[i].losses))),
    }));
    charts.panels(
      bands,
      panels,
      axes(bands, 'loss per direction', 'Losses by band of curvature', now),
    );
  }

  function table(found: (readonly [Kind, Shown | undefined])[]): void {
    const optimal = runs.get('optimal');
    const body = by('q-table').querySelector('tbody') as HTMLElement;
    body.replaceChildren(
      ...found.map(([kind, run]) => {
        const tuned = run?.tuned;
        const cells = [
          run?.excess_losses[horizon.value],
          run?.excess_loss,
          run && optimal && run.excess_loss / optimal.excess_loss,
          run?.learning_rates[0],
          run?.learning_rates.at(-1),
          tuned?.alpha0,
          tuned?.time_constant,
          tuned?.beta,
        ];
        return el(
          'tr',
          { 'data-name': name(kind) },
          el('th', { scope: 'row', 'data-schedule': kind }, name(kind)),
          ...cells.map((value) =>
            el('td', value === undefined ? {} : { 'data-value': String(value) }, number(value)),
          ),
        );
      }),
    );
  }

  function findings(): void {
    const [short, long] = [runs.get(name('tuned')), runs.get(`tuned:${steps()}`)];
    const [H, T] = [horizon.value, steps()];
    const big = by('q-bias');
    if (!short || !long) {
      delete big.dataset.value;
      big.textContent = '–';
      by('q-sentence').textContent = by('q-error').hidden ? 'Computing …' : '';
      return;
    }
    const bias = short.excess_loss / long.excess_loss;
    big.dataset.value = String(bias);
    big.textContent = `×${number(bias)}`;
    const [last, there] = [short.learning_rates.at(-1) ?? 0, long.learning_rates.at(-1) ?? 0];
    const ratio =
      last < there ? `${number(there / last)} times smaller than` : `${number(last / there)} times`;
    by('q-sentence').textContent =
      H === T
        ? `The horizon is the whole run: the schedule tuned for all ${T} steps is compared with itself. ${T === 1 ? 'Choose more steps' : 'Move H to the left'}.`
        : `The schedule that looks best after ${H} ${H === 1 ? 'step' : 'steps'} starts at α = ${number(short.learning_rates[0])} (tuned for all ${T}: ${number(long.learning_rates[0])}), and after ${T} steps its loss above the floor is ${number(short.excess_loss)}, ` +
          `${number(bias)} times the ${number(long.excess_loss)} of the schedule tuned for all ${T}; its last learning rate is ${ratio} that one’s.`;
  }

  function download(): void {
    const rows = KINDS.flatMap((kind) => {
      const run = runs.get(name(kind));
      return run
        ? run.losses.map((loss, k) => [
            name(kind),
            k,
            loss,
            run.learning_rates[k],
            run.momenta[k],
            run.cooled_losses[k],
            run.noiseless_losses[k],
          ])
        : [];
    });
    save(
      'schedules.csv',
      'text/csv',
      csv(
        ['schedule', 'step', 'loss', 'learning_rate', 'momentum', 'cooled_loss', 'noiseless_loss'],
        rows.map((row) => row.map((cell) => (String(cell).includes(',') ? `"${cell}"` : cell))),
      ),
    );
  }

  for (const name of FIELDS) {
    field(name).value = values[name] ?? DEFAULTS[name];
    // What a link brings may be no number, or none of the choices.
    if (field(name).value === '') field(name).value = DEFAULTS[name];
  }
  const hidden = (values.hide ?? '').split(',');
  for (const kind of KINDS) {
    const box = by<HTMLInputElement>(`q-show-${kind}`);
    box.checked = !hidden.includes(kind);
    box.addEventListener('change', () => {
      keep();
      draw();
      replan();
    });
  }
  horizon.set(Math.max(1, steps() || 250), Number(values.H ?? DEFAULTS.H));
  let typing = 0;
  by('q-form').addEventListener('input', () => {
    clearTimeout(typing);
    typing = window.setTimeout(changed, 250);
  });
  by('q-form').addEventListener('submit', (event) => event.preventDefault());
  by('q-csv').addEventListener('click', download);
  by('q-svg').addEventListener('click', () =>
    save(
      'quadratic.svg',
      'image/svg+xml',
      charts.file(
        [rates, losses, bands],
        drawn().map(([kind]) => ({ name: name(kind), ...LOOK[kind] })),
      ),
    ),
  );
  by('q-link').addEventListener('click', () => void copy(state.link(), null, by('q-link')));
  by('q-copy').addEventListener(
    'click',
    () => void copy(by('q-command').textContent ?? '', by('q-command'), by('q-copy')),
  );
  document.addEventListener('view', () => {
    draw();
    prepare();
  });
  changed();
};
