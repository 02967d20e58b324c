// Figures by Observable Plot, which draws SVG.

import * as Plot from '@observablehq/plot';

export interface Curve {
  name: string;
  colour: string;
  dash?: string;
  width?: number;
  points: [number, number][];
}

export interface Axes {
  x: string;
  y: string;
  width: number;
  height?: number;
  /** The last of the horizontal axis, which begins at 0. */
  end: number;
  /** A vertical rule here. */
  mark?: number;
  markName?: string;
  title: string;
}

/** What a logarithmic axis can show. */
const positive = (points: [number, number][]): [number, number][] =>
  points.filter(([, y]) => y > 0 && Number.isFinite(y));

const power = (exponent: number): string =>
  [...String(exponent)].map((c) => (c === '-' ? '⁻' : '⁰¹²³⁴⁵⁶⁷⁸⁹'[Number(c)])).join('');

/** Writes the ticks of an axis: as decimals where all of them are short, else with powers of ten. */
const format = (values: number[]): ((x: number) => string) => {
  const short = values.every((x) => x === 0 || (Math.abs(x) >= 0.00099 && Math.abs(x) < 100_000));
  return (x) => {
    if (short || x === 0) return String(Number(x.toPrecision(3)));
    const [mantissa, exponent] = x.toExponential(1).split('e');
    const raised = `10${power(Number(exponent))}`;
    return Number(mantissa) === 1 ? raised : `${Number(mantissa)}·${raised}`;
  };
};

/** Ticks of a logarithmic axis: decades where there are several, 1, 2 and 5 where there are few, and even ones within one. */
const ticks = (values: number[]): number[] => {
  let [low, high] = [Infinity, -Infinity];
  for (const value of values) {
    if (value < low) low = value;
    if (value > high) high = value;
  }
  if (!(low > 0 && Number.isFinite(high))) return [];
  const within = (value: number) => value >= low * 0.999 && value <= high * 1.001;
  const [first, last] = [Math.floor(Math.log10(low)), Math.ceil(Math.log10(high))];
  const every = Math.max(1, Math.ceil((last - first) / 6));
  for (const steps of last - first > 2 ? [[1], [1, 2, 5]] : [[1, 2, 5]]) {
    const found: number[] = [];
    for (let exponent = first; exponent <= last; exponent += every)
      for (const step of steps) found.push(Number(`${step}e${exponent}`));
    const seen = found.filter(within);
    if (seen.length > 2 || !(high > low)) return seen;
  }
  const rough = (high - low) / 4;
  const unit = 10 ** Math.floor(Math.log10(rough));
  const even = unit * ([1, 2, 5].find((step) => step * unit >= rough) ?? 10);
  const count = Math.floor(high / even) - Math.ceil(low / even) + 1;
  return Array.from({ length: count }, (_, i) =>
    Number(((Math.ceil(low / even) + i) * even).toPrecision(12)),
  );
};

const describe = (svg: Element, title: string): void => {
  svg.setAttribute('role', 'img');
  svg.setAttribute('aria-label', title);
};

const put = (box: HTMLElement, figure: Element, title: string): void => {
  // Plot labels groups, which have no role that may be labelled; the whole is one image.
  for (const group of figure.querySelectorAll('[aria-label]')) {
    group.setAttribute('data-mark', group.getAttribute('aria-label') ?? '');
    group.removeAttribute('aria-label');
  }
  const svg = figure.tagName === 'svg' ? figure : figure.querySelector(':scope > svg:last-of-type');
  if (svg) describe(svg, title);
  box.replaceChildren(figure);
};

/** A logarithmic axis with its rules. */
const vertical = (values: number[], label: string | null): Plot.Markish[] => {
  const found = ticks(values);
  return [
    Plot.gridY({ stroke: 'var(--grid)', strokeOpacity: 1, ticks: found }),
    Plot.axisY({
      ticks: found,
      tickFormat: format(found),
      label,
      labelAnchor: 'top',
      fill: 'var(--soft)',
    }),
  ];
};

const strokes = (curves: Curve[]): Plot.Markish[] =>
  curves.map((curve) =>
    Plot.line(positive(curve.points), {
      stroke: curve.colour,
      strokeWidth: curve.width ?? 1.8,
      strokeDasharray: curve.dash,
    }),
  );

export const lines = (box: HTMLElement, curves: Curve[], axes: Axes): void => {
  const drawn = curves.map((curve) => ({ ...curve, points: positive(curve.points) }));
  const all = drawn.flatMap((curve) => curve.points.map(([, y]) => y));
  if (all.length === 0) return box.replaceChildren();
  const marks = vertical(all, axes.y);
  marks.push(Plot.axisX({ label: axes.x, fill: 'var(--soft)', ticks: axes.width < 420 ? 4 : 6 }));
  if (axes.mark !== undefined)
    marks.push(
      Plot.ruleX([axes.mark], { stroke: 'var(--soft)', strokeDasharray: '3 3' }),
      Plot.text([axes.mark], {
        x: (d) => d,
        text: () => axes.markName ?? '',
        frameAnchor: 'bottom',
        dx: 4,
        dy: -3,
        textAnchor: 'start',
        fill: 'var(--soft)',
      }),
    );
  put(
    box,
    Plot.plot({
      width: axes.width,
      height: axes.height ?? 250,
      marginLeft: 48,
      marginRight: 14,
      marginTop: 24,
      marginBottom: 34,
      style: { fontSize: '12px' },
      x: { type: 'linear', domain: [0, axes.end] },
      y: { type: 'log' },
      marks: [...marks, ...strokes(drawn)],
    }),
    axes.title,
  );
};

export interface Panel {
  title: string;
  curves: Curve[];
}

/** Panels side by side, or below each other where it is narrow, on one vertical scale; each has the same curves. */
export const panels = (box: HTMLElement, found: Panel[], axes: Axes): void => {
  // As wide as a title.
  const stacked = axes.width < 210 * found.length;
  const facet = stacked ? 'fy' : 'fx';
  const all = found.flatMap(({ curves }) =>
    curves.flatMap(({ points }) => positive(points).map(([, y]) => y)),
  );
  if (all.length === 0) return box.replaceChildren();
  const marks = vertical(all, stacked ? null : axes.y);
  marks.push(Plot.axisX({ label: axes.x, fill: 'var(--soft)', ticks: 4 }));
  if (axes.mark !== undefined)
    marks.push(Plot.ruleX([axes.mark], { stroke: 'var(--soft)', strokeDasharray: '3 3' }));
  // One mark a curve: Plot spreads it over the panels.
  for (const [i, curve] of found[0].curves.entries()) {
    const points = found.flatMap(({ title, curves }) =>
      positive(curves[i].points).map(([x, y]) => ({ x, y, title })),
    );
    marks.push(
      Plot.line(points, {
        x: 'x',
        y: 'y',
        [facet]: 'title',
        stroke: curve.colour,
        strokeWidth: curve.width ?? 1.8,
        strokeDasharray: curve.dash,
      }),
    );
  }
  const domain = found.map(({ title }) => title);
  const labels = stacked
    ? Plot.text(domain, {
        fy: (d: string) => d,
        text: (d: string) => d,
        frameAnchor: 'top-right',
        fill: 'var(--ink)',
        dy: -6,
      })
    : Plot.axisFx({
        anchor: 'top',
        label: null,
        fill: 'var(--ink)',
        fontWeight: '600',
        fontSize: 12,
      });
  put(
    box,
    Plot.plot({
      width: axes.width,
      height: stacked ? 150 * found.length + 50 : 250,
      marginLeft: 48,
      marginRight: 14,
      marginTop: stacked ? 18 : 38,
      marginBottom: 34,
      style: { fontSize: '12px' },
      x: { type: 'linear', domain: [0, axes.end] },
      y: { type: 'log' },
      [facet]: { domain, padding: stacked ? 0.16 : 0.12, axis: null },
      marks: [...marks, labels],
    }),
    axes.title,
  );
};

export interface Surface {
  cells: { alpha0: number; beta: number; loss: number | null }[];
  alpha0: [number, number];
  beta: [number, number];
  columns: number;
  rows: number;
  path: { alpha0: number; beta: number; meta_step: number }[];
  best: { alpha0: number; beta: number } | null;
  width: number;
  title: string;
}

/** The objective over a plane as cells on logarithmic axes, and a path through it. */
export const surface = (box: HTMLElement, s: Surface): void => {
  // Half a cell on either side of a value on the grid.
  const half = ([low, high]: [number, number], count: number) =>
    Math.exp(Math.log(high / low) / (count - 1) / 2);
  const [a, b] = [half(s.alpha0, s.columns), half(s.beta, s.rows)];
  const cells = s.cells.filter((cell) => cell.loss !== null);
  const levels = ticks(cells.map((cell) => cell.loss as number));
  const [x0, x1, y0, y1] = [s.alpha0[0] / a, s.alpha0[1] * a, s.beta[0] / b, s.beta[1] * b];
  put(
    box,
    Plot.plot({
      width: s.width,
      height: 330,
      marginLeft: 48,
      marginRight: 14,
      marginBottom: 36,
      marginTop: 24,
      style: { fontSize: '12px' },
      x: { type: 'log', domain: [x0, x1], label: 'α₀', clamp: true },
      y: { type: 'log', domain: [y0, y1], label: 'β', clamp: true },
      color: {
        type: 'log',
        scheme: 'viridis',
        reverse: true,
        legend: cells.length > 1,
        label: 'loss (nats)',
        tickFormat: format(levels),
        ticks: cells.length > 1 ? levels : undefined,
      },
      marks: [
        Plot.rect(cells, {
          x1: (d) => d.alpha0 / a,
          x2: (d) => d.alpha0 * a,
          y1: (d) => d.beta / b,
          y2: (d) => d.beta * b,
          fill: 'loss',
          stroke: 'loss',
          strokeWidth: 0.6,
        }),
        Plot.axisX({
          ticks: ticks(s.alpha0),
          tickFormat: format(ticks(s.alpha0)),
          label: 'first learning rate α₀',
          fill: 'var(--soft)',
        }),
        Plot.axisY({
          ticks: ticks(s.beta),
          tickFormat: format(ticks(s.beta)),
          label: 'decay exponent β',
          fill: 'var(--soft)',
        }),
        Plot.line(s.path, {
          x: 'alpha0',
          y: 'beta',
          stroke: '#000',
          strokeWidth: 5,
          strokeOpacity: 0.75,
        }),
        Plot.line(s.path, { x: 'alpha0', y: 'beta', stroke: '#fff', strokeWidth: 2.4 }),
        Plot.dot(s.path.slice(0, 1), {
          x: 'alpha0',
          y: 'beta',
          r: 5,
          fill: '#fff',
          stroke: '#000',
          strokeWidth: 1.5,
        }),
        Plot.dot(s.best ? [s.best] : [], {
          x: 'alpha0',
          y: 'beta',
          r: 8,
          symbol: 'star',
          fill: '#ffd400',
          stroke: '#000',
          strokeWidth: 1.2,
        }),
      ],
    }),
    s.title,
  );
};

/** The figures of these boxes, below each other in one SVG file under a legend, with the page's colours written out. */
export const file = (boxes: HTMLElement[], legend: Omit<Curve, 'points'>[]): string => {
  const style = getComputedStyle(document.documentElement);
  const colours = (text: string): string =>
    text.replace(
      /var\((--[a-z-]+)\)/g,
      (_, name: string) => style.getPropertyValue(name).trim() || 'currentColor',
    );
  const text = (x: number, y: number, words: string, more = '') =>
    `<text x="${x}" y="${y}"${more}>${words.replaceAll('&', '&amp;').replaceAll('<', '&lt;')}</text>`;
  // What letters of 13 pixels take at most.
  const long = (words: string) => 8 * words.length;
  let [width, height] = [0, 24];
  let x = 8;
  const names = legend.map(({ name, colour, dash }) => {
    const entry =
      `<path d="M${x} 14h28" stroke="${colour}" stroke-width="2" ${dash ? `stroke-dasharray="${dash}"` : ''}/>` +
      text(x + 34, 18, name);
    x += 50 + long(name);
    width = Math.max(width, x);
    return entry;
  });
  const parts = boxes.flatMap((box) => {
    const figures = [...box.querySelectorAll('svg')];
    if (figures.length === 0) return [];
    const title = box.closest('figure')?.querySelector('figcaption')?.textContent ?? '';
    const heading = text(8, height + 16, title, ' font-weight="600"');
    width = Math.max(width, 16 + long(title));
    height += 24;
    const copies = figures.map((svg) => {
      const copy = svg.cloneNode(true) as SVGSVGElement;
      const [w, h] = [Number(svg.getAttribute('width')), Number(svg.getAttribute('height'))];
      copy.setAttribute('y', String(height));
      copy.setAttribute('overflow', 'visible');
      height += h + 12;
      width = Math.max(width, w);
      return new XMLSerializer().serializeToString(copy);
    });
    return [heading, ...copies];
  });
  const ground = style.getPropertyValue('--ground').trim();
  const ink = style.getPropertyValue('--ink').trim();
  return colours(
    `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}" ` +
      `font-family="system-ui, sans-serif" font-size="13" fill="${ink}" color="${ink}"><rect width="100%" height="100%" fill="${ground}"/>` +
      `${names.join('')}${parts.join('')}</svg>\n`,
  );
};
