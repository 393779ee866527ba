// Shared memory as the instructions for copies, matrices and barriers take it: by an address of its own.

WARPLOOM_DEVICE u32 shared_address(const void* pointer) {
  return (u32)__cvta_generic_to_shared(pointer);
}
