// Workers that run the core: a queue with priorities, progress, and cancelling by ending the worker.

import type { FromWorker, ToWorker } from './worker';

export interface Options {
  /** Higher first. */
  priority?: number;
  signal?: AbortSignal;
  /** Takes it out of the queue; once begun it goes on. */
  overtaken?: AbortSignal;
  progress?: (done: number, of: number) => void;
  part?: (json: string) => void;
}

interface Job extends Options {
  request: string;
  resolve: (answer: string) => void;
  reject: (reason: unknown) => void;
}

export const aborted = (reason: unknown): boolean =>
  reason instanceof DOMException && reason.name === 'AbortError';

export class Pool {
  private queue: Job[] = [];
  private idle: Worker[] = [];
  private started = 0;

  constructor(
    private module: Promise<WebAssembly.Module>,
    private script: string,
    private size: number,
  ) {}

  /** The answer to a request, as JSON; rejected with the core's sentence, or an AbortError. */
  run(request: object, options: Options = {}): Promise<string> {
    const { signal } = options;
    return new Promise((resolve, reject) => {
      const job: Job = { ...options, request: JSON.stringify(request), resolve, reject };
      if (signal?.aborted) return reject(new DOMException('cancelled', 'AbortError'));
      const leave = () => {
        const place = this.queue.indexOf(job);
        if (place < 0) return;
        this.queue.splice(place, 1);
        reject(new DOMException('cancelled', 'AbortError'));
      };
      signal?.addEventListener('abort', leave);
      options.overtaken?.addEventListener('abort', leave);
      // Before the first of lower priority: equal ones keep their order.
      const priority = options.priority ?? 0;
      const place = this.queue.findIndex((other) => (other.priority ?? 0) < priority);
      this.queue.splice(place < 0 ? this.queue.length : place, 0, job);
      void this.next();
    });
  }

  private async next(): Promise<void> {
    if (this.queue.length === 0) return;
    let worker = this.idle.pop();
    if (!worker) {
      if (this.started >= this.size) return;
      this.started += 1;
      worker = new Worker(this.script);
      try {
        const start: ToWorker = { module: await this.module };
        worker.postMessage(start);
      } catch (reason) {
        for (const job of this.queue.splice(0))
          job.reject(
            new Error(`this browser cannot run the page's WebAssembly: ${reason}; use a newer one`),
          );
        return;
      }
    }
    const job = this.queue.shift();
    if (!job) {
      this.idle.push(worker);
      return;
    }
    this.give(worker, job);
  }

  private give(worker: Worker, job: Job): void {
    const leave = (keep: boolean) => {
      job.signal?.removeEventListener('abort', abort);
      if (keep) this.idle.push(worker);
      else {
        worker.terminate();
        this.started -= 1;
      }
      void this.next();
    };
    const abort = () => {
      leave(false);
      job.reject(new DOMException('cancelled', 'AbortError'));
    };
    job.signal?.addEventListener('abort', abort);
    worker.onmessage = ({ data }: MessageEvent<FromWorker>) => {
      if ('progress' in data) job.progress?.(...data.progress);
      else if ('part' in data) job.part?.(data.part);
      else {
        leave(!('broken' in data));
        if ('answer' in data) job.resolve(data.answer);
        else job.reject(new Error('failure' in data ? data.failure : data.broken));
      }
    };
    worker.onerror = (event) => {
      event.preventDefault();
      leave(false);
      job.reject(new Error(`the computation broke: ${event.message}`));
    };
    const ask: ToWorker = { request: job.request };
    worker.postMessage(ask);
  }
}
