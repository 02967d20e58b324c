// The state of a view as the URL's fragment: what differs from the defaults, name by name.

export type Values = Record<string, string>;

export const read = (): Values =>
  Object.fromEntries(new URLSearchParams(location.hash.replace(/^#/, '')));

const kept: Record<string, { values: Values; defaults: Values }> = {};
let shown = '';

/** Remembers the values of a view; the fragment is that of the view which is shown. */
export const keep = (view: string, values: Values, defaults: Values): void => {
  kept[view] = { values, defaults };
  if (view === shown) write();
};

export const show = (view: string): void => {
  shown = view;
  write();
};

let waiting = 0;

/** Soon: a drag would change the address more often than browsers let a page do. */
const write = (): void => {
  clearTimeout(waiting);
  waiting = window.setTimeout(writeNow, 100);
};

const writeNow = (): void => {
  clearTimeout(waiting);
  const parameters = new URLSearchParams({ view: shown });
  const { values = {}, defaults = {} } = kept[shown] ?? {};
  for (const [name, value] of Object.entries(values))
    if (value !== defaults[name]) parameters.set(name, value);
  // Commas and colons are those of the command line and stay readable.
  const fragment = parameters.toString().replaceAll('%2C', ',').replaceAll('%3A', ':');
  history.replaceState(null, '', `#${fragment}`);
};

/** The address that brings back what is shown now. */
export const link = (): string => {
  writeNow();
  return location.href;
};
