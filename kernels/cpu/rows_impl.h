// Ops on one row each. Reductions depend on the width only.
#pragma once
#include "kernels.h"

namespace millrace::MR_ISA {
namespace {

// out[i] = f of vectors of the inputs.
template <class Function>
MR_INLINE void map(const float* a, const float* b, float* out, int n, Function f) {
  each(
      n, [&](int i) { store(out + i, f(load(a + i), load(b + i))); },
      [&](int i, int rest) { store_part(out + i, f(load_part(a + i, rest), load_part(b + i, rest)), rest); });
}

void add(const float* a, const float* b, float* out, int n, float factor) {
  if (factor == 1.0f) {
    map(a, b, out, n, [](F x, F y) { return x + y; });
  } else {
    map(a, b, out, n, [=](F x, F y) { return fma(y, splat(factor), x); });
  }
}

void scale(const float* x, float* out, int n, float factor) {
  map(x, x, out, n, [=](F v, F) { return v * splat(factor); });
}

void soft_cap_row(const float* x, float* out, int n, float cap) {
  map(x, x, out, n, [=](F v, F) { return soft_cap(v, cap); });
}

void sigmoid_scale(const float* x, const float* gate, float* out, int n, int gates) {
  int run = n / gates;
  for (int g = 0; g < gates; g++) {
    F factor = splat(1.0f) / (splat(1.0f) + vexp(splat(0.0f - gate[g])));
    map(x + g * run, x + g * run, out + g * run, run, [=](F v, F) { return v * factor; });
  }
}

float dot(const float* a, const float* b, int n) {
  F sum = splat(0.0f);
  each(
      n, [&](int i) { sum = fma(load(a + i), load(b + i), sum); },
      [&](int i, int rest) { sum = fma(load_part(a + i, rest), load_part(b + i, rest), sum); });
  return lane_sum(sum);
}

void gated(const float* gate, const float* up, float* out, int n, int function) {
  if (function == 0) {
    map(gate, up, out, n, [](F g, F u) { return g / (splat(1.0f) + vexp(splat(0.0f) - g)) * u; });
  } else {
    map(gate, up, out, n, [](F g, F u) {
      F cubic = fma(g * g * g, splat(0.044715f), g);
      return splat(0.5f) * g * (splat(1.0f) + vtanh(splat(0.797884561f) * cubic)) * u;
    });
  }
}

// Sums of squares: of vectors at even places, and of those at odd ones.
MR_INLINE F squares(const float* x, int n) {
  F even = splat(0.0f), odd = splat(0.0f);
  int i = 0;
  for (; i + 2 * kLanes <= n; i += 2 * kLanes) {
    F a = load(x + i), b = load(x + i + kLanes);
    even = fma(a, a, even);
    odd = fma(b, b, odd);
  }
  if (i + kLanes <= n) {
    F a = load(x + i);
    even = fma(a, a, even);
    i += kLanes;
    if (i < n) odd = fma(load_part(x + i, n - i), load_part(x + i, n - i), odd);
  } else if (i < n) {
    even = fma(load_part(x + i, n - i), load_part(x + i, n - i), even);
  }
  return even + odd;
}

void rms_norm(const float* x, const float* weight, float* out, int n, int width, float eps, float offset) {
  for (int start = 0; start < n; start += width) {
    float mean = lane_sum(squares(x + start, width)) / static_cast<float>(width);
    F inverse = splat(1.0f / __builtin_sqrtf(mean + eps));
    F shift = splat(offset);
    map(x + start, weight, out + start, width, [=](F v, F w) { return v * inverse * (w + shift); });
  }
}

void rope(const float* x, float* out, int heads, int head_dim, int dims, bool pairs, const float* cos, const float* sin) {
  int half = dims / 2;
  for (int h = 0; h < heads; h++, x += head_dim, out += head_dim) {
    if (pairs) {
      for (int i = 0; i < half; i++) {
        float a = x[2 * i];
        float b = x[2 * i + 1];
        float left = a * cos[i];
        float right = b * cos[i];
        out[2 * i] = left - b * sin[i];
        out[2 * i + 1] = right + a * sin[i];
      }
    } else {
      each(
          half,
          [&](int i) {
            F a = load(x + i), b = load(x + half + i), c = load(cos + i), s = load(sin + i);
            store(out + i, a * c - b * s);
            store(out + half + i, b * c + a * s);
          },
          [&](int i, int rest) {
            F a = load_part(x + i, rest), b = load_part(x + half + i, rest);
            F c = load_part(cos + i, rest), s = load_part(sin + i, rest);
            store_part(out + i, a * c - b * s, rest);
            store_part(out + half + i, b * c + a * s, rest);
          });
    }
    for (int i = dims; i < head_dim; i++) out[i] = x[i];
  }
}

// Whether some value is NaN or infinite.
MR_INLINE bool has_fault(const float* x, int n) {
  F zero = splat(0.0f);
  F faults[4] = {zero, zero, zero, zero};
  int i = 0;
  for (; i + 4 * kLanes <= n; i += 4 * kLanes) {
    for (int v = 0; v < 4; v++) faults[v] = fma(load(x + i + v * kLanes), zero, faults[v]);
  }
  each(
      n - i, [&](int j) { faults[0] = fma(load(x + i + j), zero, faults[0]); },
      [&](int j, int rest) { faults[1] = fma(load_part(x + i + j, rest), zero, faults[1]); });
  return lane_sum((faults[0] + faults[1]) + (faults[2] + faults[3])) != 0.0f;
}

// A block of 32 with a NaN or an infinity gets NaN as its factor, so that the fault shows; its codes stay within range.
void quantise(const float* x, int n, int padded, uint8_t* out) {
  constexpr int kVectors = 32 / kLanes;
  using Four = float __attribute__((vector_size(16)));
  auto* scales = reinterpret_cast<float*>(out + QuantRow::scales(padded));
  auto* sums32 = reinterpret_cast<int32_t*>(out + QuantRow::sums32(padded));
  auto* sums16 = reinterpret_cast<int32_t*>(out + QuantRow::sums16(padded));
  auto* products = reinterpret_cast<float*>(out + QuantRow::products(padded));
  auto* products32 = reinterpret_cast<float*>(out + QuantRow::products32(padded));
  const bool faulty = has_fault(x, n);
  for (int k = 0; k < padded; k += 32) {
    F v[kVectors];
    F largest = splat(0.0f);
    for (int i = 0; i < kVectors; i++) {
      int at = k + i * kLanes;
      v[i] = at + kLanes <= n ? load(x + at) : at < n ? load_part(x + at, n - at) : splat(0.0f);
      largest = vmax(largest, vabs(v[i]));
    }
    float most = lane_max(largest);
    // Both quotients in one division.
    const Four quotients = Four{most, 127.0f, 1.0f, 1.0f} / Four{127.0f, most, 1.0f, 1.0f};
    float scale = quotients[0];
    if (faulty && k < n && has_fault(x + k, n - k < 32 ? n - k : 32)) scale = __builtin_nanf("");
    F inverse = splat(most > 1e-30f ? quotients[1] : 0.0f);
    I codes[kVectors];
    for (int i = 0; i < kVectors; i++) codes[i] = to_int(vmin(vmax(v[i] * inverse, splat(-127.0f)), splat(127.0f)));
    int32_t sums[2];
    store_codes(reinterpret_cast<int8_t*>(out) + k, codes, sums);
    scales[k / 32] = scale;
    sums32[k / 32] = sums[0] + sums[1];
    products32[k / 32] = scale * static_cast<float>(sums[0] + sums[1]);
    for (int i = 0; i < 2; i++) {
      sums16[k / 16 + i] = sums[i];
      products[k / 16 + i] = scale * static_cast<float>(sums[i]);
    }
  }
}

void to_bf16(const float* x, int n, int padded, uint16_t* out) {
  for (int i = 0; i < n; i++) out[i] = float_to_bf16(x[i]);
  for (int i = n; i < padded; i++) out[i] = 0;
}

uint16_t narrow(int type, float x) { return type == MR_F16 ? float_to_half(x) : float_to_bf16(x); }

// n values, `step` apart from `at` on; `place` counts the factors of int8.
void put_cached(int type, uint8_t* base, float* scales, int64_t place, int64_t at, int step, const float* x, int n) {
  if (type == MR_F32) {
    float* to = reinterpret_cast<float*>(base) + at;
    for (int i = 0; i < n; i++) to[i * step] = x[i];
  } else if (type != MR_INT8) {
    uint16_t* to = reinterpret_cast<uint16_t*>(base) + at;
    for (int i = 0; i < n; i++) to[i * step] = narrow(type, x[i]);
  } else {
    float most = 0;
    bool finite = true;
    for (int i = 0; i < n; i++) {
      float size = __builtin_fabsf(x[i]);
      finite = finite && size <= 3.4e38f;
      most = size > most ? size : most;
    }
    // Smaller ones are zeros; what is no finite number makes the token no number either.
    bool some = finite && most > 1e-30f;
    scales[place] = finite ? (some ? most / 127.0f : 0.0f) : __builtin_nanf("");
    float inverse = some ? 127.0f / most : 0.0f;
    int8_t* to = reinterpret_cast<int8_t*>(base) + at;
    for (int i = 0; i < n; i++) to[i * step] = finite ? static_cast<int8_t>(__builtin_rintf(x[i] * inverse)) : int8_t{0};
  }
}

void kv_write(const KvLayer& kv, int slot, const float* k, const float* v) {
  int64_t block = slot / kv.block_tokens;
  int offset = slot % kv.block_tokens;
  for (int h = 0; h < kv.heads; h++) {
    int64_t page = kv.page(block, h);
    int64_t place = page + offset;
    const float* key = k + h * kv.key_dim;
    if (kv.latent) {
      put_cached(kv.type, kv.keys, kv.key_scales, place, place * kv.value_step, 1, key, kv.key_dim);
    } else {
      int64_t at = (page + offset / kKeyTokens * kKeyTokens) * kv.key_dim + offset % kKeyTokens;
      put_cached(kv.type, kv.keys, kv.key_scales, place, at, kKeyTokens, key, kv.key_dim);
      put_cached(kv.type, kv.values, kv.value_scales, place, place * kv.value_step, 1, v + h * kv.value_dim, kv.value_dim);
    }
  }
}

}  // namespace
}  // namespace millrace::MR_ISA
