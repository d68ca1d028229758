#include "check.h"
#include "error.h"
#include "pack.h"
#include "scalar.h"

namespace millrace::test {
namespace {

int failures = 0;

}  // namespace

std::vector<Test>& tests() {
  static std::vector<Test> all;
  return all;
}

void failed(const char* file, int line, const std::string& what) {
  if (++failures <= 20) std::printf("%s:%d: %s\n", file, line, what.c_str());
}

std::vector<uint8_t> random_stored(int type, int rows, int columns, Random& random) {
  std::vector<uint8_t> bytes(static_cast<size_t>(rows * row_bytes(type, columns)));
  auto half = [&](size_t at, float scale) {
    uint16_t h = float_to_half(scale * random.normal());
    std::memcpy(&bytes[at], &h, 2);
  };
  if (!is_quantised(type)) {
    for (size_t i = 0; i < bytes.size(); i += static_cast<size_t>(kTypes[type].block_bytes)) {
      float x = random.normal() * 0.1f;
      uint16_t h = type == MR_F16 ? float_to_half(x) : float_to_bf16(x);
      if (type == MR_F32) {
        std::memcpy(&bytes[i], &x, 4);
      } else {
        std::memcpy(&bytes[i], &h, 2);
      }
    }
    return bytes;
  }
  for (uint8_t& b : bytes) b = static_cast<uint8_t>(random.below(256));
  auto block = static_cast<size_t>(kTypes[type].block_bytes);
  for (size_t at = 0; at < bytes.size(); at += block) {
    switch (type) {
      case MR_Q4_1:
      case MR_Q5_1:
      case MR_Q4_K:
      case MR_Q5_K: half(at + 2, type == MR_Q4_1 || type == MR_Q5_1 ? 0.05f : 0.002f); [[fallthrough]];
      case MR_Q4_0:
      case MR_Q5_0: half(at, block > 100 ? 2e-4f : 0.01f); break;
      case MR_Q8_0:
      case MR_IQ4_NL: half(at, 1e-3f); break;
      case MR_IQ4_XS: half(at, 5e-5f); break;
      case MR_Q2_K:
        half(at + 80, 5e-3f);
        half(at + 82, 5e-3f);
        break;
      case MR_Q3_K: half(at + 108, 1e-3f); break;
      default: half(at + 208, 5e-5f);
    }
  }
  return bytes;
}

double difference(const float* actual, const double* expected, size_t n) {
  double error = 0;
  double norm = 0;
  for (size_t i = 0; i < n; i++) {
    double d = static_cast<double>(actual[i]) - expected[i];
    if (!(d == d)) return INFINITY;
    error += d * d;
    norm += expected[i] * expected[i];
  }
  return std::sqrt(error) / (norm > 0 ? std::sqrt(norm) : 1);
}

}  // namespace millrace::test

int main(int argc, char** argv) {
  std::setvbuf(stdout, nullptr, _IOLBF, 0);
  using namespace millrace::test;
  int run = 0;
  int bad = 0;
  for (const Test& test : tests()) {
    if (argc > 1 && !std::strstr(test.name, argv[1])) continue;
    int before = failures;
    try {
      test.body();
    } catch (const millrace::Error& e) {
      failed(test.name, 0, e.message);
    }
    run++;
    bad += failures > before;
    if (failures > before) std::printf("FAILED %s\n", test.name);
  }
  std::printf("kernels: %d passed, %d failed\n", run - bad, bad);
  return bad == 0 && run > 0 ? 0 : 1;
}
