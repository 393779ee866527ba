// Another process of ours that answers questions one after the other, and can be ended whatever it is doing.

import { type ChildProcess, fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { DeviceError, diagnostic } from '../../dsl/diagnostic.ts';
import { type Answer, errorOf, type Question } from './protocol.ts';

/** Starts the process of child.ts for a role, which is all that it is told. */
export type Start = (role: readonly string[]) => ChildProcess;

/** The end of what it has said on stderr, for when it dies. */
const mostHeard = 2000;

export const startChild: Start = (role) => {
  const isSource = import.meta.url.endsWith('.ts');
  const file = new URL(isSource ? './child.ts' : './child.js', import.meta.url);
  // From source it is TypeScript, which Node 20 loads through tsx alone.
  const execArgv = isSource ? ['--import', import.meta.resolve('tsx')] : [];
  return fork(fileURLToPath(file), [...role], {
    execArgv,
    serialization: 'advanced',
    stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
  });
};

interface Waiting {
  resolve(value: unknown): void;
  reject(error: Error): void;
}

export class Helper {
  readonly #child: ChildProcess;
  readonly #waiting = new Map<number, Waiting>();
  #next = 0;
  #heard = '';
  #gone: string | undefined;

  constructor(role: readonly string[], start: Start = startChild) {
    const child = start(role);
    this.#child = child;
    child.stderr?.on('data', (data) => {
      this.#heard = (this.#heard + String(data)).slice(-mostHeard);
    });
    child.on('message', ({ id, value, error }: Answer) => {
      const waiting = this.#waiting.get(id);
      this.#waiting.delete(id);
      if (error) waiting?.reject(errorOf(error));
      else waiting?.resolve(value);
    });
    child.on('error', (error) => this.#end(error.message));
    child.on('exit', (code, signal) => this.#end(`it ended with ${signal ?? `code ${code}`}`));
  }

  /** throws: what the process throws, DeviceError R004 where it is gone. */
  ask<Value>(body: unknown): Promise<Value> {
    return new Promise<Value>((resolve, reject) => {
      if (this.#gone !== undefined) {
        reject(this.#lost());
        return;
      }
      const id = this.#next;
      this.#next += 1;
      this.#waiting.set(id, { resolve: resolve as Waiting['resolve'], reject });
      const question: Question = { id, body };
      this.#child.send(question, (error) => {
        if (error) this.#end(error.message);
      });
    });
  }

  /** Now, whatever it is doing. */
  kill(): void {
    this.#child.kill('SIGKILL');
    this.#end('it was ended');
  }

  #end(how: string): void {
    this.#gone ??= how;
    const all = [...this.#waiting.values()];
    this.#waiting.clear();
    for (const { reject } of all) reject(this.#lost());
  }

  #lost(): DeviceError {
    const last = this.#heard.trim().split('\n').at(-1);
    return new DeviceError([
      diagnostic('R004', `the process that tries kernels is gone: ${this.#gone}`, {
        notes: last ? [{ what: `it said: ${last}` }] : [],
      }),
    ]);
  }
}
