// A worker: the WebAssembly module, asked one request at a time.

export type ToWorker = { module: WebAssembly.Module } | { request: string };
export type FromWorker =
  | { progress: [number, number] }
  | { part: string }
  | { answer: string }
  | { failure: string }
  | { broken: string };

interface Exports {
  memory: WebAssembly.Memory;
  take(length: number): number;
  call(): number;
  answer_start(): number;
  answer_length(): number;
}

/** Milliseconds between two reports of progress. */
const PACE = 40;

let exports: Exports;
let told = 0;

const say = (message: FromWorker) => postMessage(message);
const text = (start: number, length: number): string =>
  new TextDecoder().decode(new Uint8Array(exports.memory.buffer, start >>> 0, length >>> 0));

const env = {
  now: () => performance.now(),
  progress(done: number, of: number) {
    const now = performance.now();
    if (now - told < PACE) return;
    told = now;
    say({ progress: [done, of] });
  },
  part: (start: number, length: number) => say({ part: text(start, length) }),
};

onmessage = ({ data }: MessageEvent<ToWorker>) => {
  if ('module' in data) {
    exports = new WebAssembly.Instance(data.module, { env }).exports as unknown as Exports;
    return;
  }
  told = performance.now();
  try {
    const bytes = new TextEncoder().encode(data.request);
    const start = exports.take(bytes.length) >>> 0;
    new Uint8Array(exports.memory.buffer, start, bytes.length).set(bytes);
    const failed = exports.call();
    const answer = text(exports.answer_start(), exports.answer_length());
    say(failed ? { failure: answer } : { answer });
  } catch (error) {
    say({ broken: `the computation broke: ${error}; ask for less, or use the program` });
  }
};
