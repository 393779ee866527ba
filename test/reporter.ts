// The last line of a run, in a form that any runner can read: "N passed, N failed, N skipped".

import type { Reporter, TestModule } from 'vitest/node';

export default class Summary implements Reporter {
  onTestRunEnd(modules: readonly TestModule[], errors: readonly unknown[]): void {
    const count = { passed: 0, failed: errors.length, skipped: 0 };
    for (const module of modules) {
      let ran = 0;
      for (const test of module.children.allTests()) {
        const { state } = test.result();
        if (state !== 'pending') count[state] += 1;
        ran += 1;
      }
      // A file that failed to load has no tests to count.
      if (ran === 0 && !module.ok()) count.failed += 1;
    }
    const { passed, failed, skipped } = count;
    console.log(`${passed} passed, ${failed} failed, ${skipped} skipped`);
  }
}
