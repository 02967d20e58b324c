// The program, a browser, and what the tests ask of both.

import { spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { chromium } from 'playwright-core';

const here = (name) => new URL(name, import.meta.url).pathname;
const program = process.env.MYOPIA_PROGRAM ?? here('../../../target/release/myopia');

/** What `myopia …` prints. */
export const myopia = (line) => {
  const { status, stdout, stderr } = spawnSync(program, ['--quiet', ...line.split(' ')], {
    encoding: 'utf8',
    maxBuffer: 1 << 28,
  });
  if (status !== 0) throw new Error(`myopia ${line}: status ${status}\n${stderr}`);
  return stdout;
};

/** A folder that `myopia … --out` fills; its files by name. */
export const folder = (line) => {
  const path = mkdtempSync(join(tmpdir(), 'myopia-'));
  myopia(`${line} --force --out ${path}`);
  return {
    read: (name) => readFileSync(join(path, name), 'utf8'),
    path,
    remove: () => rmSync(path, { recursive: true }),
  };
};

/** `myopia explore`, or a server of the page that MYOPIA_PAGE names; its address and how to end it. */
export const explorer = async () => {
  if (process.env.MYOPIA_PAGE) {
    const page = readFileSync(process.env.MYOPIA_PAGE);
    const server = createServer((_, answer) =>
      answer.setHeader('Content-Type', 'text/html; charset=utf-8').end(page),
    );
    await new Promise((done) => server.listen(0, '127.0.0.1', done));
    return { address: `http://127.0.0.1:${server.address().port}/`, end: () => server.close() };
  }
  const child = spawn(program, ['--quiet', 'explore'], { stdio: ['ignore', 'pipe', 'inherit'] });
  const address = await new Promise((found, lost) => {
    child.stdout.once('data', (text) => found(String(text).trim()));
    child.once('exit', () => lost(new Error('myopia explore ended')));
  });
  const served = await (await fetch(address)).text();
  if (served !== readFileSync(here('../dist/index.html'), 'utf8')) {
    child.kill('SIGINT');
    throw new Error(`${program} carries another page than dist/index.html; build it again`);
  }
  return { address, end: () => child.kill('SIGINT') };
};

export const browser = () =>
  chromium.launch({
    executablePath: process.env.MYOPIA_CHROMIUM ?? '/usr/bin/chromium',
    args: [
      '--no-sandbox',
      '--disable-gpu',
      '--disable-quic',
      '--no-first-run',
      '--disable-background-networking',
      '--disable-component-update',
      '--disable-sync',
    ],
  });

/** A page at `address`, and what it complained of and asked for. */
export const open = async (launched, address, options = {}) => {
  const context = await launched.newContext({ viewport: { width: 1280, height: 900 }, ...options });
  const page = await context.newPage();
  page.setDefaultTimeout(120_000);
  const complaints = [];
  const requests = [];
  page.on('console', (message) => {
    if (['error', 'warning'].includes(message.type())) complaints.push(message.text());
  });
  page.on('pageerror', (error) => complaints.push(String(error)));
  page.on('request', (request) => {
    if (!request.url().startsWith('blob:') && !request.url().startsWith('data:'))
      requests.push(request.url());
  });
  await page.goto(address);
  return { page, complaints, requests, close: () => context.close() };
};

/** The cells of a row of the quadratic's table, with all digits. */
export const row = (page, name) =>
  page
    .locator(`#q-table tr[data-name="${name}"] td`)
    .evaluateAll((cells) =>
      cells.map((cell) => (cell.dataset.value === undefined ? null : Number(cell.dataset.value))),
    );

/** Waits until the table has the loss of that schedule; says what the page shows when it has not. */
export const computed = async (page, name) => {
  const cell = page.locator(`#q-table tr[data-name="${name}"] td:nth-of-type(2)[data-value]`);
  try {
    await cell.waitFor();
  } catch (reason) {
    const shown = await page.locator('#view-quadratic').innerText();
    throw new Error(`${reason.message}\n${page.url()}\n${shown}`, { cause: reason });
  }
};
