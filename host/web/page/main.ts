// The page: its views, the state in its address, and what it offers to other programs.

import { core, type Words } from './core';
import { by } from './dom';
import * as bits from './bits';
import * as network from './network';
import * as quadratic from './quadratic';
import * as state from './state';

const VIEWS = ['quadratic', 'network', 'bits'];

/** Shows a view. */
const select = (view: string): void => {
  for (const name of VIEWS) {
    const tab = by(`tab-${name}`);
    tab.setAttribute('aria-selected', String(name === view));
    tab.tabIndex = name === view ? 0 : -1;
    by(`view-${name}`).hidden = name !== view;
  }
  state.show(view);
  document.dispatchEvent(new Event('view'));
};

for (const [i, name] of VIEWS.entries()) {
  const tab = by(`tab-${name}`);
  tab.addEventListener('click', () => select(name));
  tab.addEventListener('keydown', (event) => {
    const to = { ArrowRight: i + 1, ArrowLeft: i - 1, Home: 0, End: VIEWS.length - 1 }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    const view = VIEWS[(to + VIEWS.length) % VIEWS.length];
    select(view);
    by(`tab-${view}`).focus();
  });
}
// Its own href would be another state.
by('skip').addEventListener('click', (event) => {
  event.preventDefault();
  by('main').focus();
});

/** What other programs may ask of the page; the words are those of the command line. */
Object.assign(window, {
  myopia: {
    verify: () => core.verify(),
    nqm: (options: Words) => core.nqm(options),
    nqmText: (options: Words) => core.nqmText(options),
  },
});

// On a phone the settings would push the figures out of sight.
if (matchMedia('(max-width: 760px)').matches)
  document.querySelector('#view-quadratic .settings')?.removeAttribute('open');

const values = state.read();
const of = (view: string) => (view === (values.view ?? VIEWS[0]) ? values : {});
quadratic.start(of('quadratic'));
network.start(of('network'));
bits.start();
select(VIEWS.includes(values.view) ? values.view : VIEWS[0]);
// A link followed or an address edited while the page is open.
addEventListener('hashchange', () => location.reload());
