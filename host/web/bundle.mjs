// Puts the page together: node bundle.mjs MODULE.wasm OUT.html
import { createHash } from 'node:crypto';
import { readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { build } from 'esbuild';

const [module, out] = process.argv.slice(2);
const here = (name) => new URL(name, import.meta.url).pathname;
const packages = new Set();
const bundled = async (entry, define = {}) => {
  const { metafile, outputFiles } = await build({
    absWorkingDir: here('.'),
    entryPoints: [here(`page/${entry}`)],
    bundle: true,
    charset: 'ascii',
    define,
    format: 'iife',
    legalComments: 'none',
    loader: { '.css': 'css' },
    metafile: true,
    minify: true,
    target: 'es2022',
    write: false,
  });
  for (const input of Object.keys(metafile.inputs)) {
    const found = /^node_modules\/((@[^/]+\/)?[^/]+)\//.exec(input);
    if (found) packages.add(found[1]);
  }
  return outputFiles[0].text.trim();
};

/** The licences of the npm packages in the page, each text once under the names that have it. */
const licences = () => {
  const names = new Map();
  for (const name of [...packages].sort()) {
    const folder = here(`node_modules/${name}/`);
    const file = readdirSync(folder).find((file) => /^licen[cs]e/i.test(file));
    if (!file) throw new Error(`${name} comes without a licence`);
    const text = readFileSync(folder + file, 'utf8').trim();
    names.set(text, [...(names.get(text) ?? []), name]);
  }
  const texts = [...names].map(([text, names]) => `${names.join(', ')}:\n${text}`);
  // "--" could end the comment that holds them.
  return texts.join('\n\n').replaceAll('--', '- -');
};

const worker = await bundled('worker.ts');
// "</script" would end the element that holds the script.
const script = (await bundled('main.ts', { WORKER: JSON.stringify(worker) })).replaceAll(
  '</script',
  '<\\/script',
);
const style = await bundled('style.css');
const hash = createHash('sha256').update(script).digest('base64');
// Blob workers inherit the policy; Plot sets style attributes.
const policy = [
  "default-src 'none'",
  `script-src 'sha256-${hash}' 'wasm-unsafe-eval'`,
  "style-src 'unsafe-inline'",
  'worker-src blob:',
  'img-src data: blob:',
  "base-uri 'none'",
  "form-action 'none'",
].join('; ');
const version = /^version = "(.*)"$/m.exec(readFileSync(here('../../Cargo.toml'), 'utf8'))[1];
const parts = {
  POLICY: policy,
  STYLE: style,
  VERSION: version,
  WASM: readFileSync(module).toString('base64'),
  SCRIPT: script,
  LICENCES: licences(),
};
const page = readFileSync(here('page/index.html'), 'utf8').replaceAll(
  /@([A-Z]+)@/g,
  (word, name) => parts[name] ?? word,
);
writeFileSync(out, page);
