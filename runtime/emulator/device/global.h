// Loads from global memory, as codegen/device/global.cuh declares them.
#pragma once

WARPLOOM_DEVICE u32 word_if(bool is_there, const u32 *from) { return is_there ? *from : 0u; }
