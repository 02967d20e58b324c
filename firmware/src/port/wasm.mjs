// Runs the WebAssembly image named on the command line: node wasm.mjs IMAGE
import { readFileSync, writeSync } from 'node:fs';

const env = {
  write: (start, count) => writeSync(1, new Uint8Array(instance.exports.memory.buffer, start, count)),
  exit: (status) => process.exit(status),
};
const { instance } = await WebAssembly.instantiate(readFileSync(process.argv[2]), { env });
instance.exports.start();
