// Loads from global memory.

/**
 * The word, or 0 where there is none. Without a branch, so that several are on their way at a time; for memory that nobody
 * writes while the kernel runs.
 */
WARPLOOM_DEVICE u32 word_if(bool is_there, const u32* from) {
  u32 word;
  asm("{\n.reg .pred p;\nsetp.ne.u32 p, %1, 0;\nmov.u32 %0, 0;\n@p ld.global.u32 %0, [%2];\n}\n"
      : "=r"(word) : "r"((u32)is_there), "l"(from));
  return word;
}
