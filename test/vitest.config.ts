// The tests' own settings. `test/device` needs a GPU and is not part of this run.
import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    root: new URL('..', import.meta.url).pathname,
    include: ['test/**/*.test.ts'],
    exclude: ['test/device/**', '**/node_modules/**'],
    reporters: ['default', './test/reporter.ts'],
    testTimeout: 60_000,
    pool: 'forks',
    maxWorkers: 2,
  },
});
