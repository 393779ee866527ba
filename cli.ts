#!/usr/bin/env node
// The `warploom` command: hands the built-in patterns to the verbs of runtime/commands. No logic.

import { fromMInference, patterns } from './patterns/index.ts';
import { main } from './runtime/commands/index.ts';

/** This package's own modules, as source or compiled, whichever is running. */
const own = (file: string): string =>
  new URL(file + import.meta.url.slice(import.meta.url.lastIndexOf('.')), import.meta.url).href;

await main(process.argv.slice(2), {
  patterns,
  readHeads: fromMInference,
  modules: { warploom: own('index'), 'warploom/patterns': own('patterns/index') },
});
