// A folder for bad files, and what reading them says.

import { mkdtempSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll } from 'vitest';
import { PatternError } from '../../dsl/diagnostic.ts';

/** A folder that goes when the tests of a file are done; `thrown` is what an action throws, without its path. */
export function badFiles(): {
  readonly folder: string;
  readonly thrown: (action: Promise<unknown>) => Promise<string>;
} {
  const folder = mkdtempSync(join(tmpdir(), 'warploom-bad-'));
  afterAll(() => rm(folder, { recursive: true }));
  const thrown = async (action: Promise<unknown>): Promise<string> => {
    const error = await action.then(
      () => undefined,
      (reason: unknown) => reason,
    );
    if (!(error instanceof PatternError)) throw error ?? new Error('nothing was thrown');
    return error.message.replaceAll(`${folder}/`, '').replaceAll(process.cwd(), '.');
  };
  return { folder, thrown };
}
