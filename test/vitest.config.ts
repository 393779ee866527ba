// The tests' own settings. `test/device` needs a GPU and is not part of this run.
import { defineConfig } from 'vitest/config';

const root = new URL('..', import.meta.url).pathname;

export default defineConfig({
  test: {
    root,
    globalSetup: 'test/setup/nvrtc.ts',
    // Kernels that the tests compile are kept, but not where the user keeps theirs.
    env: { WARPLOOM_CACHE: `${root}.warploom/cache` },
    include: ['test/**/*.test.ts'],
    exclude: ['test/device/**', '**/node_modules/**'],
    reporters: ['default', './test/reporter.ts'],
    testTimeout: 60_000,
    pool: 'forks',
    maxWorkers: 2,
  },
});
