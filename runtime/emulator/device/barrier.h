// Barriers in shared memory and those of a block, as codegen/device/barrier.cuh declares them.
#pragma once

extern "C" {
void warploomBarrierInit(const void *barrier, int arrivals, int line);
void warploomBarrierInitDone();
void warploomBarrierArrive(const void *barrier, int bytes, int line);
void warploomBarrierWait(const void *barrier, u32 parity, int line);
void warploomThreadsMeet(int barrier, int count, bool waits, int line);
}

WARPLOOM_DEVICE void barrier_init(u64 &barrier, int arrivals, WARPLOOM_LINE) {
  warploomBarrierInit(&barrier, arrivals, line.at);
}

WARPLOOM_DEVICE void barrier_init_done() { warploomBarrierInitDone(); }

WARPLOOM_DEVICE void barrier_arrive(u64 &barrier, WARPLOOM_LINE) {
  warploomBarrierArrive(&barrier, 0, line.at);
}

WARPLOOM_DEVICE void barrier_arrive_if(bool arrives, u64 &barrier, WARPLOOM_LINE) {
  if (arrives)
    warploomBarrierArrive(&barrier, 0, line.at);
}

WARPLOOM_DEVICE void barrier_arrive_expect(u64 &barrier, int bytes, WARPLOOM_LINE) {
  warploomBarrierArrive(&barrier, bytes, line.at);
}

WARPLOOM_DEVICE void barrier_wait(u64 &barrier, u32 parity, WARPLOOM_LINE) {
  warploomBarrierWait(&barrier, parity, line.at);
}

WARPLOOM_DEVICE void threads_wait(int barrier, int count, WARPLOOM_LINE) {
  warploomThreadsMeet(barrier, count, true, line.at);
}

WARPLOOM_DEVICE void threads_arrive(int barrier, int count, WARPLOOM_LINE) {
  warploomThreadsMeet(barrier, count, false, line.at);
}
