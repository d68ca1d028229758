// Elementary functions on vectors. Included once per instruction set, after its simd header, with MR_ISA defined.
#pragma once

namespace millrace::MR_ISA {

// Calls f(i, n) for whole vectors, then for what is left, n < kLanes.
template <class Whole, class Part>
MR_INLINE void each(int n, Whole whole, Part part) {
  int i = 0;
  for (; i + kLanes <= n; i += kLanes) whole(i);
  if (i < n) part(i, n - i);
}

// e^x to 2 ulp; 0 below -87.3, the largest power above 88; NaN stays NaN.
MR_INLINE F vexp(F x) {
  const F lowest = splat(-87.3f);
  F y = vmin(splat(88.3f), vmax(lowest, x));
  F n = round_even(y * splat(1.44269504088896341f));
  F r = fma(n, splat(-0.693359375f), y);
  r = fma(n, splat(2.12194440e-4f), r);
  F p = splat(1.9875691500e-4f);
  p = fma(p, r, splat(1.3981999507e-3f));
  p = fma(p, r, splat(8.3334519073e-3f));
  p = fma(p, r, splat(4.1665795894e-2f));
  p = fma(p, r, splat(1.6666665459e-1f));
  p = fma(p, r, splat(5.0000001201e-1f));
  p = fma(p, r * r, r + splat(1.0f));
  return zero_below(x, lowest, p * power_of_two(n));
}

MR_INLINE F vtanh(F x) {
  F e = vexp(x + x);
  return splat(1.0f) - splat(2.0f) / (e + splat(1.0f));
}

MR_INLINE F soft_cap(F x, float cap) { return vtanh(x / splat(cap)) * splat(cap); }

}  // namespace millrace::MR_ISA
