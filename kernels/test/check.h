// A small test harness: tests register themselves; a failed check prints where and what, and the test goes on.
#pragma once
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <functional>
#include <random>
#include <string>
#include <vector>

#include "isa.h"

namespace millrace::test {

struct Test {
  const char* name;
  void (*body)();
};

std::vector<Test>& tests();
void failed(const char* file, int line, const std::string& what);

struct Register {
  Register(const char* name, void (*body)()) { tests().push_back({name, body}); }
};

#define TEST(name)                                               \
  static void name();                                            \
  static ::millrace::test::Register register_##name(#name, name); \
  static void name()

#define CHECK(condition, ...)                                                                        \
  do {                                                                                               \
    if (!(condition)) ::millrace::test::failed(__FILE__, __LINE__, ::millrace::test::text(#condition, ##__VA_ARGS__)); \
  } while (0)

inline std::string text(const char* condition) { return condition; }

template <class... Arguments>
std::string text(const char* condition, const char* format, Arguments... arguments) {
  char detail[256];
  std::snprintf(detail, sizeof detail, format, arguments...);
  return std::string(condition) + ": " + detail;
}

// The instruction sets of this machine.
inline std::vector<const Kernels*> all_kernels() {
  std::vector<const Kernels*> result;
  for (int isa = MR_ISA_PORTABLE; isa <= MR_ISA_AVX512; isa++) {
    if (isa_available(isa)) result.push_back(&kernels_of(isa));
  }
#if defined(__x86_64__)
  if (isa_available(MR_ISA_AVX512) && kernels_of(MR_ISA_AVX512).bf16_rows) result.push_back(&kernels_of(MR_ISA_AVX512, true));
#endif
  return result;
}

class Random {
 public:
  explicit Random(uint32_t seed) : engine_(seed) {}
  int below(int n) { return static_cast<int>(engine_() % static_cast<uint32_t>(n)); }
  float normal() { return normal_(engine_); }
  std::vector<float> normals(size_t n, float scale = 1) {
    std::vector<float> x(n);
    for (float& v : x) v = normal() * scale;
    return x;
  }

 private:
  std::mt19937 engine_;
  std::normal_distribution<float> normal_;
};

// Rows of a stored type: random codes and finite factors.
std::vector<uint8_t> random_stored(int type, int rows, int columns, Random& random);

// Relative Frobenius norm of the difference; infinite when a value is NaN.
double difference(const float* actual, const double* expected, size_t n);

inline bool has(const std::string& text, const char* part) { return text.find(part) != std::string::npos; }

inline bool same_bits(const float* a, const float* b, size_t n) { return std::memcmp(a, b, n * sizeof(float)) == 0; }

}  // namespace millrace::test
