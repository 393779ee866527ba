// Asynchronous copies, as codegen/device/async-copy.cuh declares them. Their bytes arrive as late
// as the model allows: when the thread waits for them.
#pragma once

extern "C" {
void warploomCopyAsync(u32 to, const void *from, bool valid, int line);
void warploomCopyCommit();
void warploomCopyWait(int pending, int line);
}

WARPLOOM_DEVICE void copy_async_16(u32 to, const void *from, WARPLOOM_LINE) {
  warploomCopyAsync(to, from, true, line.at);
}

WARPLOOM_DEVICE void copy_async_16(u32 to, const void *from, bool valid, WARPLOOM_LINE) {
  warploomCopyAsync(to, from, valid, line.at);
}

WARPLOOM_DEVICE void copy_commit() { warploomCopyCommit(); }

template <int pending> WARPLOOM_DEVICE void copy_wait(WARPLOOM_LINE) {
  warploomCopyWait(pending, line.at);
}
