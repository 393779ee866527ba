// Floating-point functions as JavaScript means them where CUDA's own differ: NaN wins in min and max.

template <typename T> WARPLOOM_DEVICE T min_of(T a, T b) { return a != a ? a : b != b ? b : a < b ? a : b; }
template <typename T> WARPLOOM_DEVICE T max_of(T a, T b) { return a != a ? a : b != b ? b : a > b ? a : b; }
template <typename T> WARPLOOM_DEVICE T sign_of_float(T a) { return a > 0 ? (T)1 : a < 0 ? (T)-1 : a; }

/** tanh to 2e-7 of 1, not of itself: for scores, of which differences count. */
WARPLOOM_DEVICE float tanh_quick(float x) { return 1.f - __fdividef(2.f, exp2_fast(x * 2.8853901f) + 1.f); }
