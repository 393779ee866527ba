// Floating-point functions as JavaScript means them where CUDA's own differ: NaN wins in min and max.

template <typename T> WARPLOOM_DEVICE T min_of(T a, T b) { return a != a ? a : b != b ? b : a < b ? a : b; }
template <typename T> WARPLOOM_DEVICE T max_of(T a, T b) { return a != a ? a : b != b ? b : a > b ? a : b; }
template <typename T> WARPLOOM_DEVICE T sign_of_float(T a) { return a > 0 ? (T)1 : a < 0 ? (T)-1 : a; }
