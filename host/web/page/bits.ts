// The view of this browser's bits.

import { core, type Verified } from './core';
import { Work, by, copy, csv, el, save } from './dom';
import { aborted } from './pool';
import * as state from './state';

/** A digest that may be broken in the middle where it is narrow. */
const halves = (digest: string): (Node | string)[] => [
  digest.slice(0, 8),
  el('wbr'),
  digest.slice(8),
];

export const start = (): void => {
  const work = new Work(by('b-work'));
  let rows: Verified[] = [];

  async function run(): Promise<void> {
    by('b-error').hidden = true;
    const signal = work.begin('Running the golden experiments', () => void run());
    rows = [];
    by<HTMLButtonElement>('b-csv').disabled = true;
    by('b-table').querySelector('tbody')?.replaceChildren();
    by('b-sentence').textContent = 'Running …';
    try {
      rows = await core.verify({ signal, priority: 5 });
      const body = by('b-table').querySelector('tbody') as HTMLElement;
      body.replaceChildren(
        ...rows.map((row) =>
          el(
            'tr',
            {},
            el('th', { scope: 'row' }, row.experiment),
            el('td', {}, ...halves(row.digest ?? 'none')),
            el('td', {}, ...halves(row.expected)),
            el('td', { class: row.equal ? 'yes' : 'no' }, row.equal ? '✓ equal' : '✗ differs'),
          ),
        ),
      );
      const equal = rows.filter((row) => row.equal).length;
      by('b-sentence').textContent =
        equal === rows.length
          ? `All ${rows.length} experiments end in the expected digest: this browser computes the same bits.`
          : `${rows.length - equal} of ${rows.length} experiments end in another digest: this browser does not compute the same bits. Please report it with the table.`;
      by<HTMLButtonElement>('b-csv').disabled = false;
    } catch (reason) {
      by('b-sentence').textContent = 'Not run to the end.';
      if (aborted(reason)) return;
      by('b-error').textContent = reason instanceof Error ? reason.message : String(reason);
      by('b-error').hidden = false;
    } finally {
      work.end(signal);
    }
  }

  state.keep('bits', {}, {});
  by('b-run').addEventListener('click', () => void run());
  by('b-csv').addEventListener('click', () =>
    save(
      'verify.csv',
      'text/csv',
      csv(
        ['experiment', 'digest', 'expected', 'equal'],
        rows.map((r) => [r.experiment, r.digest, r.expected, String(r.equal)]),
      ),
    ),
  );
  by('b-link').addEventListener('click', () => void copy(state.link(), null, by('b-link')));
  by('b-copy').addEventListener(
    'click',
    () => void copy(by('b-command').textContent ?? '', by('b-command'), by('b-copy')),
  );
};
