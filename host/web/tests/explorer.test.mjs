// The explorer in headless Chromium, beside the program.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { after, before, test } from 'node:test';
import { accessibility } from './axe.mjs';
import { browser, computed, explorer, folder, myopia, open, row } from './support.mjs';

let chromium;
let server;
before(async () => {
  chromium = await browser();
  server = await explorer();
});
after(async () => {
  await chromium?.close();
  server?.end();
});

const PROBLEM =
  '--dim 100 --spectrum inverse --noise inverse --mean0 0 --var0 1 --steps 250 --momentum 0';

/** Moves the horizon by the keyboard until it is there. */
const move = async (page, to) => {
  const slider = page.locator('#q-slider');
  await slider.focus();
  for (let i = 0; i < 40; i += 1) {
    const now = Number(await page.locator('#q-horizon').inputValue());
    if (now === to) return;
    await slider.press(now < to ? 'ArrowRight' : 'ArrowLeft');
  }
  throw new Error(`the slider has no stop at ${to}`);
};

/** What a button saves. */
const taken = async (page, id) => {
  const [download] = await Promise.all([
    page.waitForEvent('download'),
    page.locator(id).press('Enter'),
  ]);
  return readFileSync(await download.path(), 'utf8');
};

/** The rows of a CSV file without its header. */
const table = (text) =>
  text
    .trim()
    .split('\n')
    .slice(1)
    .map((row) => row.split(','));

test('the page opens without complaints and asks for nothing but itself', async () => {
  const { page, complaints, requests, close } = await open(chromium, server.address);
  await computed(page, 'tuned:10');
  for (const view of ['network', 'bits', 'quadratic']) await page.locator(`#tab-${view}`).click();
  await page.locator('#q-rates svg').waitFor();
  await page.waitForTimeout(500);
  assert.deepEqual(complaints, []);
  assert.deepEqual(requests, [server.address]);
  await close();
});

test('it works from a file as well', async () => {
  const written = folder('explore');
  const { page, complaints, close } = await open(chromium, `file://${written.path}/index.html`);
  assert.equal(
    (await page.evaluate(() => window.myopia.verify())).every((entry) => entry.equal),
    true,
  );
  assert.deepEqual(complaints, []);
  await close();
  written.remove();
});

test('moving H from 10 to 200 shows what the program prints, digit for digit', async () => {
  const { page, close } = await open(chromium, server.address);
  const seen = [];
  for (const horizon of [10, 200]) {
    await move(page, horizon);
    await computed(page, `tuned:${horizon}`);
    for (const schedule of ['greedy', `tuned:${horizon}`]) {
      const printed = JSON.parse(myopia(`nqm --schedule ${schedule} ${PROBLEM} --json`));
      const [, end, , first, last] = await row(page, schedule);
      assert.deepEqual(
        [end, first, last],
        [printed.excess_loss, printed.learning_rates[0], printed.learning_rates.at(-1)],
        schedule,
      );
      seen.push(last);
    }
    // The bias: its loss beside that of the schedule tuned for all steps.
    const [short, long] = [horizon, 250].map(
      (h) => JSON.parse(myopia(`nqm --schedule tuned:${h} ${PROBLEM} --json`)).excess_loss,
    );
    await page.waitForFunction(
      (bias) => Number(document.getElementById('q-bias').dataset.value) === bias,
      short / long,
    );
    assert.match(
      await page.locator('#q-sentence').textContent(),
      new RegExp(`looks best after ${horizon} steps`),
    );
  }
  assert.notEqual(seen[1], seen[3], 'another horizon, another schedule');
  await close();
});

test('what a script asks is what the program prints, byte for byte', async () => {
  const { page, close } = await open(chromium, server.address);
  for (const options of [
    { dim: 100, steps: 250, schedule: 'tuned:200' },
    {
      dim: '30',
      spectrum: 'geometric:0.01,1',
      noise: 'constant:0.5',
      mean0: '1',
      var0: '0.5',
      steps: '20',
      schedule: 'replan:5',
      momentum: '0.5',
    },
    { dim: 20, spectrum: 'uniform:0.1,2', noise: 'none', steps: 8, schedule: 'optimal' },
    { dim: 20, steps: 6, schedule: 'optimal-momentum' },
    { dim: 1000, steps: 300, schedule: 'decay:0.1,50,1.5', momentum: 0.9 },
    { schedule: 'greedy' },
  ]) {
    const line = Object.entries(options)
      .map(([name, value]) => `--${name} ${value}`)
      .join(' ');
    const printed = myopia(`nqm ${line} --json`);
    assert.equal(
      `${await page.evaluate((options) => window.myopia.nqmText(options), options)}\n`,
      printed,
      line,
    );
    assert.deepEqual(
      await page.evaluate((options) => window.myopia.nqm(options), options),
      JSON.parse(printed),
      line,
    );
  }
  for (const [options, words] of [
    [{ schedule: 'best' }, 'a schedule is greedy'],
    [{ dim: 0, schedule: 'greedy' }, 'at least one direction'],
    [{ dims: 3, schedule: 'greedy' }, 'not a part of a run'],
    [{ dim: 5 }, 'name a schedule'],
    [null, 'by an object such as'],
    [{ dim: 2, steps: 5, schedule: 'constant:1e300' }, 'constant:1'],
    [{ dim: 100000, steps: 100000, schedule: 'optimal' }, 'too large for a page'],
  ]) {
    const said = await page.evaluate(
      (options) =>
        window.myopia.nqm(options).then(
          () => 'accepted',
          (reason) => reason.message,
        ),
      options,
    );
    assert.ok(said.includes(words), said);
  }
  await close();
});

test('every golden digest equals', async () => {
  const { page, close } = await open(chromium, `${server.address}#view=bits`);
  const expected = new Map(
    JSON.parse(myopia('verify --isa baseline --threads 1 --json')).map((entry) => [
      entry.experiment,
      entry.digest,
    ]),
  );
  const found = await page.evaluate(() => window.myopia.verify());
  assert.ok(found.length >= 7);
  for (const entry of found) {
    assert.deepEqual(Object.keys(entry), ['experiment', 'digest', 'expected', 'equal']);
    assert.deepEqual(
      [entry.digest, entry.equal],
      [expected.get(entry.experiment), true],
      entry.experiment,
    );
  }
  await page.locator('#b-run').press('Enter');
  await page
    .locator('#b-table .yes')
    .nth(found.length - 1)
    .waitFor();
  assert.equal(await page.locator('#b-table .no').count(), 0);
  assert.match(await page.locator('#b-sentence').textContent(), /^All \d+ experiments/);
  await close();
});

test('a network is tuned, mapped and trained as the program does it', async () => {
  const { page, complaints, close } = await open(
    chromium,
    `${server.address}#view=network&H=7&meta-steps=3&hidden=12&judged=50&end=60&grid=3`,
  );
  await page.locator('#n-tune').press('Enter');
  await page.locator('#n-table tr[data-horizon="7"]').waitFor();
  const line = async (id) =>
    (await page.locator(id).textContent()).replace(/^myopia /, '').replace(/ --out \S+$/, '');
  const cells = () =>
    page
      .locator('#n-table tr[data-horizon="7"] td')
      .evaluateAll((cells) => cells.map((cell) => Number(cell.dataset.value)));
  const { best } = JSON.parse(myopia(`${await line('#n-command')} --json`));
  assert.deepEqual((await cells()).slice(0, 4), [
    best.alpha0,
    best.time_constant,
    best.beta,
    best.loss,
  ]);

  await page.locator('#n-train').press('Enter');
  await page.locator('#n-table tr[data-digest]').waitFor();
  const trained = JSON.parse(myopia(`${await line('#n-train-command')} --json`));
  assert.equal(
    await page.locator('#n-table tr[data-digest]').getAttribute('data-digest'),
    trained.digest,
  );
  // The program's objective after training has all held-out digits or those it is told; the page's has the same.
  assert.deepEqual((await cells()).slice(4, 6), [trained.judged.loss, trained.test.loss]);

  await page.waitForFunction(
    () => document.querySelectorAll('#n-plane svg [data-mark="rect"] rect').length > 0,
  );
  await page.locator('#n-work-surface').waitFor({ state: 'hidden' });
  const surface = folder(await line('#n-surface-command'));
  const columns = (text) => table(text).map((row) => row.slice(0, 6).map(Number));
  assert.deepEqual(
    columns(await taken(page, '#n-surface-csv')),
    columns(surface.read('surface.csv')),
  );
  const losses = columns(surface.read('surface.csv')).map((row) => row[5]);
  const drawn = page.locator('#n-plane svg [data-mark="rect"] rect');
  assert.equal(await drawn.count(), losses.filter((loss) => loss > 0).length);
  surface.remove();

  const descent = folder(await line('#n-command'));
  const numbers = (text) => table(text).map((row) => row.map(Number));
  assert.deepEqual(numbers(await taken(page, '#n-csv')), numbers(descent.read('trajectory.csv')));
  descent.remove();
  const looks = numbers(await taken(page, '#n-training-csv'));
  assert.deepEqual([looks.at(-1)[4], looks.at(-1)[5]], [60, trained.judged.loss]);
  assert.ok((await taken(page, '#n-svg')).startsWith('<svg xmlns="http://www.w3.org/2000/svg"'));
  assert.deepEqual(await accessibility(page), []);
  assert.deepEqual(complaints, []);
  await close();
});

test('a link restores the state', async () => {
  const first = await open(chromium, server.address);
  await first.page.locator('#q-dim').fill('40');
  await first.page.locator('#q-steps').fill('60');
  await first.page.locator('#q-spectrum').selectOption('geometric');
  await first.page.locator('#q-range').fill('0.01,2');
  await first.page.locator('#q-noise').selectOption('constant');
  await first.page.locator('#q-variance').fill('0.25');
  await first.page.locator('#q-momentum').fill('0.5');
  await first.page.locator('#q-show-greedy').uncheck();
  await first.page.waitForFunction(() => location.hash.includes('momentum=0.5'));
  await first.page.locator('#q-horizon').fill('13');
  await computed(first.page, 'tuned:13');
  // The address is written a moment later, and is told to the test later still.
  await first.page.waitForFunction(() => location.hash.includes('H=13'));
  const link = await first.page.evaluate(() => location.href);
  const seen = await row(first.page, 'tuned:13');
  const command = await first.page.locator('#q-command').textContent();
  await first.close();

  const second = await open(chromium, link);
  await computed(second.page, 'tuned:13');
  assert.deepEqual((await row(second.page, 'tuned:13')).slice(0, 2), seen.slice(0, 2));
  assert.equal(await second.page.locator('#q-command').textContent(), command);
  assert.equal(await second.page.locator('#q-show-greedy').isChecked(), false);
  assert.equal(await second.page.evaluate(() => location.href), link);
  const schedules = command
    .replace('myopia nqm compare ', '')
    .replace(/^\S+ \S+ \S+ \S+ /, '')
    .replace(/ --out \S+$/, '');
  const printed = JSON.parse(myopia(`nqm --schedule tuned:13 ${schedules} --json`));
  assert.equal(seen[1], printed.excess_loss, 'the command is of the same problem');
  await second.close();
});

test('a link brings no other command into the one to be copied', async () => {
  const { page, close } = await open(
    chromium,
    `${server.address}#spectrum=uniform&range=1,2;id&dim=3;id`,
  );
  await page.locator('#q-error').waitFor();
  assert.ok(!(await page.locator('#q-command').textContent()).includes(';'));
  await page.locator('#q-slider').press('ArrowRight');
  assert.ok(!(await page.locator('#q-command').textContent()).includes(';'));
  await close();
});

test('the keyboard alone reaches everything', async () => {
  const { page, close } = await open(chromium, server.address);
  for (const [i, view] of ['quadratic', 'network', 'bits'].entries()) {
    await page.evaluate(() =>
      document.querySelectorAll('details').forEach((details) => (details.open = true)),
    );
    if (i > 0) {
      await page.locator('[role=tab][aria-selected=true]').focus();
      await page.keyboard.press('ArrowRight');
      assert.equal(await page.locator(`#tab-${view}`).getAttribute('aria-selected'), 'true');
    }
    const wanted = await page.evaluate(() => {
      const all = [
        ...document.querySelectorAll('a[href], button, input, select, summary, [tabindex="0"]'),
      ];
      return all
        .filter((e) => e.checkVisibility() && !e.disabled && e.tabIndex >= 0)
        .map((e) => e.id || e.textContent.slice(0, 40));
    });
    assert.ok(wanted.length > 5, view);
    await page.evaluate(() => {
      document.activeElement?.blur();
      getSelection().removeAllRanges();
    });
    await page.locator('#skip').focus();
    const reached = new Set();
    for (let step = 0; step < wanted.length + 10; step += 1) {
      const [name, outlined] = await page.evaluate(() => {
        const e = document.activeElement;
        const style = getComputedStyle(e);
        return [
          e.id || e.textContent.slice(0, 40),
          style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) > 0,
        ];
      });
      if (wanted.includes(name)) assert.ok(outlined, `${name} shows that it has the focus`);
      reached.add(name);
      await page.keyboard.press('Tab');
    }
    assert.deepEqual(
      wanted.filter((name) => !reached.has(name)),
      [],
      view,
    );
  }
  await close();
});

test('axe finds nothing, light and dark, and nothing is wider than a phone', async () => {
  for (const [colorScheme, width] of [
    ['light', 1280],
    ['dark', 1280],
    ['light', 360],
  ]) {
    const { page, close } = await open(chromium, server.address, {
      colorScheme,
      viewport: { width, height: 800 },
    });
    await computed(page, 'optimal');
    for (const view of ['quadratic', 'network', 'bits']) {
      await page.locator(`#tab-${view}`).click();
      await page.evaluate(() =>
        document.querySelectorAll('details').forEach((details) => (details.open = true)),
      );
      const found = await accessibility(page);
      assert.deepEqual(found, [], `${view}, ${colorScheme}, ${width}`);
      const [needed, there] = await page.evaluate(() => [
        document.scrollingElement.scrollWidth,
        innerWidth,
      ]);
      assert.ok(needed <= there, `${view} needs ${needed} of ${there} pixels`);
    }
    await close();
  }
});

test('a drag over tuned horizons redraws every stop, and tells how soon', async () => {
  const { page, close } = await open(chromium, server.address);
  const stops = [10, 15, 20, 30, 50];
  for (const stop of stops) {
    await move(page, stop);
    await computed(page, `tuned:${stop}`);
  }
  await page.locator('#q-work').waitFor({ state: 'hidden' });
  const browser = await page.context().newCDPSession(page);
  await browser.send('Performance.enable', { timeDomain: 'threadTicks' });
  const seconds = async () => {
    const { metrics } = await browser.send('Performance.getMetrics');
    return metrics.find(({ name }) => name === 'TaskDuration').value;
  };
  const before = await seconds();
  // From the event to the end of the frame in which the new schedule stands, and of the next one,
  // in which the bands do.
  const times = await page.evaluate(async (count) => {
    const slider = document.getElementById('q-slider');
    const found = { schedule: [], bands: [] };
    const last = slider.valueAsNumber;
    const shown = () => new Promise((done) => requestAnimationFrame(() => setTimeout(done)));
    for (let i = 0; i < 30; i += 1) {
      const old = document.querySelector('#q-bands svg');
      slider.value = String(last - ((i + 1) % count));
      const before = performance.now();
      slider.dispatchEvent(new Event('input'));
      await shown();
      found.schedule.push(performance.now() - before);
      const name = `tuned:${document.getElementById('q-horizon').value}`;
      if (!document.querySelector(`#q-table tr[data-name="${name}"] td[data-value]`))
        throw new Error(`${name} is not shown`);
      await shown();
      found.bands.push(performance.now() - before);
      if (document.querySelector('#q-bands svg') === old)
        throw new Error(`the bands of ${name} are not shown`);
    }
    return found;
  }, stops.length);
  const work = (1000 * ((await seconds()) - before)) / times.bands.length;
  const median = (of) => of.sort((a, b) => a - b)[of.length >> 1].toFixed(0);
  console.log(
    `a redraw takes ${work.toFixed(1)} ms of the page's thread; the schedule is shown after ${median(times.schedule)} ms, its bands after ${median(times.bands)} ms (medians)`,
  );
  // Told, not judged: a clock on a shared machine also tells what else runs there. Each stop was drawn.
  assert.equal(times.bands.length, 30);
  await close();
});

test('commands and links are copied', async () => {
  const { page, close } = await open(chromium, `${server.address}#steps=20&dim=5&H=5`, {
    permissions: ['clipboard-read', 'clipboard-write'],
  });
  const copied = async (id) => {
    await page.locator(id).press('Enter');
    await page.waitForFunction((id) => document.querySelector(id).textContent === 'Copied', id);
    return page.evaluate(() => navigator.clipboard.readText());
  };
  for (const [view, commands] of Object.entries({
    quadratic: ['q'],
    network: ['n', 'n-surface'],
    bits: ['b'],
  })) {
    await page.locator(`#tab-${view}`).click();
    assert.equal(await copied(`#${view[0]}-link`), await page.evaluate(() => location.href));
    for (const name of commands) {
      const command = await copied(`#${name}-copy`);
      assert.equal(command, await page.locator(`#${name}-command`).textContent());
      assert.match(command, /^myopia (nqm compare|meta|surface|verify)( |$)/);
    }
  }
  await close();
});

test('long work is shown and can be cancelled', async () => {
  const { page, complaints, close } = await open(chromium, `${server.address}#dim=1000&steps=1000`);
  // Cancelled from within the page, for the search does not wait for a slow test.
  await page.evaluate(async () => {
    const work = document.querySelector('#q-work');
    while (work.hidden || !(work.querySelector('progress').value > 0))
      await new Promise((done) => setTimeout(done, 10));
    work.querySelector('button').click();
  });
  // The next work may begin at once; the optimal schedule was given up.
  await page.waitForTimeout(300);
  assert.deepEqual((await row(page, 'optimal'))[1], null);
  assert.deepEqual(complaints, []);
  await close();
});

test('cancelled work begins again where it is asked to', async () => {
  const { page, close } = await open(chromium, `${server.address}#dim=100&steps=400`);
  await page.evaluate(async () => {
    const work = document.querySelector('#q-work');
    while (work.hidden || !(work.querySelector('progress').value > 0))
      await new Promise((done) => setTimeout(done, 5));
    work.querySelector('button').click();
  });
  const work = page.locator('#q-work');
  await work.getByText('Cancelled: Searching').waitFor();
  assert.equal((await row(page, 'optimal'))[1], null);
  // Longer than the horizon rests before replan:H begins: that must not take its place.
  await page.waitForTimeout(600);
  await work.getByRole('button', { name: 'Begin again' }).press('Enter');
  await computed(page, 'optimal');
  await close();
});

test('what is refused leaves no finding, no figure and no command behind', async () => {
  const { page, close } = await open(chromium, `${server.address}#dim=20&steps=30&H=5`);
  await computed(page, 'tuned:5');
  await page.locator('#q-bias[data-value]').waitFor();
  const copies = page.locator('#q-copy');
  // By the core, and by the form.
  for (const [id, wrong, right] of [
    ['#q-mean0', '1e155', '0'],
    ['#q-dim', '1001', '20'],
  ]) {
    await page.locator(id).fill(wrong);
    await page.locator('#q-error').waitFor();
    await page.waitForFunction(() => document.getElementById('q-copy').disabled);
    assert.deepEqual(
      await page.evaluate(() => [
        document.getElementById('q-bias').textContent,
        document.getElementById('q-sentence').textContent,
        document.getElementById('q-command').textContent,
        document.querySelectorAll('#q-rates svg, #q-bands svg').length,
      ]),
      ['–', '', '', 0],
    );
    await page.locator(id).fill(right);
    await page.locator('#q-bias[data-value]').waitFor();
    assert.equal(await copies.isEnabled(), true);
  }
  // A number in another spelling is that number; what a link brings and is none is the default.
  await page.locator('#q-dim').fill('1e1');
  await page.waitForFunction(() =>
    document.getElementById('q-command').textContent.includes('--dim 10 '),
  );
  await close();
  const strange = '#spectrum=zzz&noise=zzz&dim=abc&H=5&steps=30';
  const other = await open(chromium, `${server.address}${strange}`);
  await computed(other.page, 'tuned:5');
  assert.match(
    await other.page.locator('#q-command').textContent(),
    /--dim 100 --spectrum inverse --noise inverse /,
  );
  await other.close();
});

test('without a schedule to show there is no figure', async () => {
  const { page, close } = await open(chromium, `${server.address}#dim=20&steps=30&H=5`);
  await page.locator('#q-bands svg').waitFor();
  for (const kind of ['greedy', 'replan', 'tuned', 'optimal'])
    await page.locator(`#q-show-${kind}`).uncheck();
  for (const id of ['rates', 'losses', 'bands'])
    await page.locator(`#q-${id} svg`).waitFor({ state: 'detached' });
  await page.locator('#q-show-greedy').check();
  await page.locator('#q-bands svg').waitFor();
  await close();
});

test('tables and figures can be taken along', async () => {
  const { page, close } = await open(chromium, `${server.address}#steps=30&dim=20&H=5`);
  for (const name of ['greedy', 'optimal', 'tuned:5', 'replan:5']) await computed(page, name);
  const rows = (await taken(page, '#q-csv')).trim().split('\n');
  assert.equal(rows[0], 'schedule,step,loss,learning_rate,momentum,cooled_loss,noiseless_loss');
  assert.equal(rows.length, 1 + 4 * 31);
  const printed = JSON.parse(myopia('nqm --schedule replan:5 --dim 20 --steps 30 --json'));
  const replanned = rows
    .filter((row) => row.startsWith('replan:5,'))
    .map((row) => Number(row.split(',')[2]));
  assert.deepEqual(replanned, printed.losses);
  await page.locator('#q-bands svg').waitFor();
  const svg = await taken(page, '#q-svg');
  assert.ok(svg.startsWith('<svg xmlns="http://www.w3.org/2000/svg"') && !svg.includes('var(--'));
  for (const name of ['greedy', 'optimal', 'tuned:5', 'replan:5'])
    assert.ok(svg.includes(`>${name}</text>`), `the legend lacks ${name}`);
  const broken = await page.evaluate(
    (text) =>
      new DOMParser().parseFromString(text, 'image/svg+xml').querySelector('parsererror')
        ?.textContent ?? null,
    svg,
  );
  assert.equal(broken, null);
  await close();
});
