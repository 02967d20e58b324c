// Small helpers over the document.

export const by = <T extends HTMLElement = HTMLElement>(id: string): T => {
  const element = document.getElementById(id);
  if (!element) throw new Error(`the page has no #${id}`);
  return element as T;
};

export const el = <K extends keyof HTMLElementTagNameMap>(
  tag: K,
  attributes: Record<string, string> = {},
  ...children: (Node | string)[]
): HTMLElementTagNameMap[K] => {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
};

/** Digits for people; the tables that can be downloaded have all of them. */
export const number = (x: number | null | undefined, digits = 4): string => {
  if (x === null || x === undefined || !Number.isFinite(x)) return '–';
  if (x === 0) return '0';
  const size = Math.abs(x);
  if (size >= 1e-3 && size < 1e5)
    return Number(x.toPrecision(digits)).toLocaleString('en', { maximumSignificantDigits: digits });
  const [mantissa, exponent] = x.toExponential(2).split('e');
  return `${Number(mantissa)}·10${superscript(Number(exponent))}`;
};

/** The same with three digits. */
export const short = (x: number): string => number(x, 3);

const superscript = (n: number): string =>
  [...String(n)].map((c) => (c === '-' ? '⁻' : '⁰¹²³⁴⁵⁶⁷⁸⁹'[Number(c)])).join('');

export const save = (name: string, type: string, text: string): void => {
  const url = URL.createObjectURL(new Blob([text], { type }));
  const link = el('a', { href: url, download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
};

export const csv = (header: string[], rows: (string | number | null | undefined)[][]): string =>
  [header, ...rows].map((row) => row.map((cell) => cell ?? '').join(',')).join('\n') + '\n';

/** Copies, or where the browser does not let a page do that selects, the text of `source`. */
export const copy = async (
  text: string,
  source: HTMLElement | null,
  button: HTMLButtonElement,
): Promise<void> => {
  const label = button.dataset.label ?? button.textContent ?? '';
  button.dataset.label = label;
  try {
    await navigator.clipboard.writeText(text);
    button.textContent = 'Copied';
  } catch {
    if (source) getSelection()?.selectAllChildren(source);
    button.textContent = source ? 'Selected' : 'Not allowed here';
  }
  setTimeout(() => (button.textContent = label), 1500);
};

/** A stroke as in a legend. */
export const dash = (colour: string, pattern = 'none'): SVGElement => {
  const svg = document.createElementNS('http://www.w3.org/2000/svg', 'svg');
  svg.setAttribute('class', 'swatch');
  svg.setAttribute('viewBox', '0 0 28 8');
  svg.setAttribute('aria-hidden', 'true');
  const path = document.createElementNS('http://www.w3.org/2000/svg', 'path');
  path.setAttribute('d', 'M0 4H28');
  path.setAttribute('style', `stroke:${colour};stroke-dasharray:${pattern}`);
  svg.append(path);
  return svg;
};

/** A picture of grey pixels, `side` a row, each in 0..=1. */
export const picture = (pixels: number[], side: number): HTMLCanvasElement => {
  const canvas = el('canvas', { width: String(side), height: String(pixels.length / side) });
  const context = canvas.getContext('2d');
  const image = context?.createImageData(canvas.width, canvas.height);
  if (!context || !image) return canvas;
  pixels.forEach((p, i) => image.data.set([255 * p, 255 * p, 255 * p, 255], 4 * i));
  context.putImageData(image, 0, 0);
  return canvas;
};

/** At most once a frame. */
export const frame = (draw: () => void): (() => void) => {
  let asked = false;
  return () => {
    if (asked) return;
    asked = true;
    requestAnimationFrame(() => {
      asked = false;
      draw();
    });
  };
};

/** Widths of boxes, kept up to date: asking the document while it changes would lay it out once more. */
export const widths = (
  boxes: HTMLElement[],
  changed: () => void,
): ((box: HTMLElement) => number) => {
  const known = new Map<Element, number>(boxes.map((box) => [box, box.clientWidth]));
  const observer = new ResizeObserver((entries) => {
    const before = [...known.values()];
    for (const { target } of entries) known.set(target, target.clientWidth);
    if ([...known.values()].some((width, i) => width !== before[i])) changed();
  });
  for (const box of boxes) observer.observe(box);
  return (box) => known.get(box) || 500;
};

/** A progress bar with a button that cancels, shown while work goes on, and then offers to begin again. */
export class Work {
  private bar: HTMLProgressElement;
  private what: HTMLElement;
  private button: HTMLButtonElement;
  private control: AbortController | null = null;
  private again: (() => void) | null = null;

  constructor(
    private box: HTMLElement,
    cancelled: () => void = () => undefined,
  ) {
    this.what = el('span', { id: `${box.id}-what` });
    this.bar = el('progress', { 'aria-labelledby': this.what.id, max: '1' });
    this.button = el('button', { type: 'button' });
    this.button.addEventListener('click', () => {
      const { again, control } = this;
      this.cancel();
      if (!control) return again?.();
      cancelled();
      if (!again) return;
      this.again = again;
      this.show(`Cancelled: ${this.what.textContent}`, 'Begin again');
      this.bar.hidden = true;
    });
    box.append(this.what, this.bar, this.button);
    box.hidden = true;
  }

  /** Begins work in place of what was going on; `again` is what begins it once more. */
  begin(what: string, again: (() => void) | null = null): AbortSignal {
    this.cancel();
    this.again = again;
    this.bar.removeAttribute('value');
    this.bar.hidden = false;
    this.show(what, 'Cancel');
    this.control = new AbortController();
    return this.control.signal;
  }

  private show(what: string, action: string): void {
    this.what.textContent = what;
    this.button.textContent = action;
    this.box.hidden = false;
  }

  progress = (done: number, of: number): void => {
    this.bar.value = Math.min(1, done / of);
  };

  end(signal: AbortSignal): void {
    if (this.control?.signal !== signal) return;
    this.control = null;
    this.box.hidden = true;
  }

  cancel(): void {
    this.control?.abort();
    this.control = null;
    this.again = null;
    this.box.hidden = true;
  }
}
