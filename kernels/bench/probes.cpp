#include "probes.h"

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <thread>
#include <vector>

#include "isa.h"
#include "memory.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace millrace::bench {
namespace {

constexpr int64_t kBytes = int64_t{256} << 20;
constexpr int kRounds = 3;

#if defined(__x86_64__)
// Adds up a piece of memory, so that it must be read.
__attribute__((target("avx2"))) int64_t read_all(const uint8_t* p, int64_t bytes) {
  __m256i sums[8] = {};
  for (int64_t i = 0; i < bytes; i += 256) {
    for (int j = 0; j < 8; j++) sums[j] = _mm256_add_epi64(sums[j], _mm256_load_si256(reinterpret_cast<const __m256i*>(p + i + 32 * j)));
  }
  int64_t out[4];
  for (int j = 1; j < 8; j++) sums[0] = _mm256_add_epi64(sums[0], sums[j]);
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(out), sums[0]);
  return out[0] + out[1] + out[2] + out[3];
}

__attribute__((target("avx512f,avx512vnni"))) double int8_run(int64_t rounds) {
  __m512i a = _mm512_set1_epi32(0x01020304), b = _mm512_set1_epi32(0x03020101), sums[16];
#pragma GCC unroll 16
  for (auto& s : sums) s = _mm512_setzero_si512();
  for (int64_t i = 0; i < rounds; i++) {
#pragma GCC unroll 16
    for (int j = 0; j < 16; j++) {
      auto& s = sums[j];
      s = _mm512_dpbusd_epi32(s, a, b);
      asm volatile("" : "+v"(s));
    }
  }
  return static_cast<double>(rounds) * 16 * 128;
}

__attribute__((target("avx512f,avx512bf16"))) double bf16_run(int64_t rounds) {
  __m512bh a = reinterpret_cast<__m512bh>(_mm512_set1_epi32(0x3f803f80));
  __m512 sums[16];
#pragma GCC unroll 16
  for (auto& s : sums) s = _mm512_setzero_ps();
  for (int64_t i = 0; i < rounds; i++) {
#pragma GCC unroll 16
    for (int j = 0; j < 16; j++) {
      auto& s = sums[j];
      s = _mm512_dpbf16_ps(s, a, a);
      asm volatile("" : "+v"(s));
    }
  }
  return static_cast<double>(rounds) * 16 * 64;
}

__attribute__((target("avx512f"))) double f32_run(int64_t rounds) {
  __m512 a = _mm512_set1_ps(0.5f), sums[16];
#pragma GCC unroll 16
  for (auto& s : sums) s = _mm512_setzero_ps();
  for (int64_t i = 0; i < rounds; i++) {
#pragma GCC unroll 16
    for (int j = 0; j < 16; j++) {
      auto& s = sums[j];
      s = _mm512_fmadd_ps(s, a, a);
      asm volatile("" : "+v"(s));
    }
  }
  return static_cast<double>(rounds) * 16 * 32;
}
#else
int64_t read_all(const uint8_t* p, int64_t bytes) {
  int64_t sum = 0;
  for (int64_t i = 0; i < bytes; i++) sum += p[i];
  return sum;
}
#endif

template <class Run>
double rate(Run run) {
  double best = 0;
  for (int i = 0; i < kRounds; i++) {
    double start = now();
    double work = run(2000000);
    best = std::max(best, work / (now() - start));
  }
  return best;
}

// Plain arithmetic that needs no memory.
double spin(int64_t rounds) {
  volatile double out = 0;
  double x = 1;
  for (int64_t i = 0; i < rounds; i++) x = x * 1.0000001 + 1e-9;
  out = x;
  return out;
}

template <class Body>
double seconds(int threads, Body body) {
  std::vector<std::thread> all;
  double start = now();
  for (int i = 0; i < threads; i++) all.emplace_back(body, i);
  for (auto& t : all) t.join();
  return now() - start;
}

}  // namespace

double now() { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); }

double read_bandwidth(int threads) {
  Memory memory(kBytes);
  for (int64_t i = 0; i < kBytes; i += 4096) memory.data()[i] = 1;
  int64_t each = kBytes / threads / 256 * 256;
  std::vector<int64_t> sums(static_cast<size_t>(threads));
  double best = 0;
  for (int i = 0; i < kRounds; i++) {
    double time = seconds(threads, [&](int t) {
      for (int r = 0; r < 4; r++) sums[static_cast<size_t>(t)] += read_all(memory.data() + t * each, each);
    });
    best = std::max(best, 4.0 * static_cast<double>(each) * threads / time);
  }
  return best / 1e9;
}

double int8_peak() {
#if defined(__x86_64__)
  if (isa_available(MR_ISA_AVX512)) return rate(int8_run);
#endif
  return 0;
}

double bf16_peak() {
#if defined(__x86_64__)
  if (isa_available(MR_ISA_AVX512) && __builtin_cpu_supports("avx512bf16")) return rate(bf16_run);
#endif
  return 0;
}

double f32_peak() {
#if defined(__x86_64__)
  if (isa_available(MR_ISA_AVX512)) return rate(f32_run);
#endif
  return 0;
}

double scaling() {
  double one = seconds(1, [](int) { spin(20000000); });
  double two = seconds(2, [](int) { spin(20000000); });
  return 2 * one / two;
}

}  // namespace millrace::bench
