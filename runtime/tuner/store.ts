// The file of tuned knobs beside the cache of kernels: `tuned.jsonl`, to which any number of processes append
// lines. The last line about a call counts. Nothing that goes wrong with it stops a call.

import {
  closeSync,
  fstatSync,
  fsyncSync,
  openSync,
  readFileSync,
  readSync,
  statSync,
  writeSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { cacheFolder } from '../cuda/cache.ts';
import { makeFolder } from '../files/folder.ts';
import { switchOf } from '../switches.ts';
import { type BestRecord, recordOf, type TuneRecord } from './record.ts';

/** What decides which choice is best: a kernel on a chip under a driver, and the class of the lengths. */
export interface TunedKey {
  readonly kernel: string;
  readonly chip: string;
  readonly driver: string;
  readonly length: string;
}

const placeOf = ({ kernel, chip, driver }: Omit<TunedKey, 'length'>): string =>
  JSON.stringify([kernel, chip, driver]);
const bestKey = (key: TunedKey): string => `${placeOf(key)} ${key.length}`;

export class TunedStore {
  readonly file: string;
  readonly #best = new Map<string, BestRecord>();
  /** Texts of kernels by chip and driver. */
  readonly #bad = new Set<string>();
  #seen = '';
  #revision = 0;
  #damaged: number[] = [];
  #isWarned = false;

  constructor(folder: string = cacheFolder()) {
    this.file = join(folder, 'tuned.jsonl');
  }

  /** Changes whenever the file has. */
  get revision(): number {
    this.#read();
    return this.#revision;
  }

  /** Numbers of the lines that could not be read, from 1. */
  get damaged(): readonly number[] {
    this.#read();
    return this.#damaged;
  }

  /** The latest winner for a call. */
  best(key: TunedKey): BestRecord | undefined {
    this.#read();
    return this.#best.get(bestKey(key));
  }

  /** Whether the text of a kernel failed, hung or was wrong on this chip under this driver. */
  isBad(text: string, { chip, driver }: Pick<TunedKey, 'chip' | 'driver'>): boolean {
    this.#read();
    return this.#bad.has(placeOf({ kernel: text, chip, driver }));
  }

  /** Appends one line in one write, so that lines of processes at work at one time do not mix. throws: FileError F005 where there can be no folder, else what the system says. */
  append(record: TuneRecord): void {
    makeFolder(dirname(this.file), 0o700);
    const handle = openSync(this.file, 'a+', 0o600);
    try {
      // Of a line that a crash cut off, the rest would be ours.
      const { size } = fstatSync(handle);
      const last = Buffer.alloc(1);
      const isCut = size > 0 && readSync(handle, last, 0, 1, size - 1) === 1 && last[0] !== newline;
      writeSync(handle, `${isCut ? '\n' : ''}${JSON.stringify(record)}\n`);
      fsyncSync(handle);
    } finally {
      closeSync(handle);
    }
  }

  /** Reads the file where it has changed since. */
  #read(): void {
    let [state, text] = ['none', ''];
    try {
      const { size, mtimeMs, ino } = statSync(this.file);
      state = `${size} ${mtimeMs} ${ino}`;
      if (state === this.#seen) return;
      text = readFileSync(this.file, 'utf8');
    } catch {
      // There is none, or it cannot be read: nothing is tuned.
      if (state === this.#seen) return;
    }
    this.#seen = state;
    this.#revision += 1;
    this.#best.clear();
    this.#bad.clear();
    this.#damaged = [];
    for (const [i, line] of text.split('\n').entries()) if (line.trim()) this.#take(line, i + 1);
    if (this.#damaged.length > 0) this.#warn();
  }

  #take(line: string, number: number): void {
    const record = recordOf(line);
    if (record === undefined) this.#damaged.push(number);
    else if (record !== 'other' && record.kind === 'best') this.#best.set(bestKey(record), record);
    else if (record !== 'other') this.#bad.add(placeOf({ ...record, kernel: record.text }));
  }

  #warn(): void {
    if (this.#isWarned) return;
    this.#isWarned = true;
    const lines = this.#damaged.slice(0, 5).join(', ');
    process.emitWarning(`damaged lines of ${this.file} are left out: ${lines}`, {
      type: 'WarploomWarning',
      detail: 'What was tuned there is not used; the file may be deleted.',
    });
  }
}

const newline = 10;
const stores = new Map<string, TunedStore>();

/** The store of the folder that the environment names: one for each folder. */
export function tunedStore(): TunedStore {
  const folder = cacheFolder();
  const store = stores.get(folder) ?? new TunedStore(folder);
  stores.set(folder, store);
  return store;
}

/** WARPLOOM_TUNED=off: everybody has the defaults. */
export const isTunedOff = (): boolean => switchOf('WARPLOOM_TUNED') === 'off';
