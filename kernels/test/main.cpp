// Runs tests. Last comes "kernels: N passed, N failed"; 0 when all have passed.
//   kernel_tests [PART]…                        those whose name has one of the parts, or all
//   kernel_tests --list [PART]…                 only names them
//   kernel_tests --each SECONDS [--after NAME] [PART]…
//                                               for a device that a test may hang, or break for all that follow: says "begins NAME" before each and "passed NAME"
//                                               after it, ends at the first that fails, and dies of SIGALRM in one that takes longer; with those behind NAME
//   --only NAME, --not PART                     the one of that name; none whose name has that part
#include <unistd.h>

#include <algorithm>
#include <cstdlib>

#include "check.h"
#include "error.h"
#include "pack.h"
#include "scalar.h"

namespace millrace::test {
namespace {

// Of a test, more are not said.
constexpr int kMostDetails = 20;

// Of the test that runs.
int failures = 0;

struct Arguments {
  bool list = false;
  // Of a test; 0: as long as it takes, and one after the other.
  unsigned seconds = 0;
  std::string after, only;
  std::vector<std::string> parts, left_out;

  bool wants(const char* name) const {
    const auto names = [&](const std::string& part) { return std::strstr(name, part.c_str()) != nullptr; };
    return (only.empty() || only == name) && (parts.empty() || std::any_of(parts.begin(), parts.end(), names)) && std::none_of(left_out.begin(), left_out.end(), names);
  }
};

Arguments arguments_of(int argc, char** argv) {
  Arguments all;
  for (int i = 1; i < argc; i++) {
    const std::string argument = argv[i];
    if (argument == "--list") {
      all.list = true;
    } else if (argument == "--each" && i + 1 < argc) {
      all.seconds = static_cast<unsigned>(std::atoi(argv[++i]));
    } else if (argument == "--only" && i + 1 < argc) {
      all.only = argv[++i];
    } else if (argument == "--after" && i + 1 < argc) {
      all.after = argv[++i];
    } else if (argument == "--not" && i + 1 < argc) {
      all.left_out.push_back(argv[++i]);
    } else {
      all.parts.push_back(argument);
    }
  }
  return all;
}

std::vector<Test> wanted(const Arguments& arguments) {
  std::vector<Test> all;
  bool begun = arguments.after.empty();
  for (const Test& test : tests()) {
    if (begun && arguments.wants(test.name)) all.push_back(test);
    begun = begun || arguments.after == test.name;
  }
  return all;
}

// Whether it passes.
bool run(const Test& test) {
  failures = 0;
  try {
    test.body();
  } catch (const Error& e) {
    failed(test.name, 0, e.message);
  }
  if (failures > kMostDetails) std::printf("%d more checks failed\n", failures - kMostDetails);
  return failures == 0;
}

}  // namespace

std::vector<Test>& tests() {
  static std::vector<Test> all;
  return all;
}

void failed(const char* file, int line, const std::string& what) {
  if (++failures <= kMostDetails) std::printf("%s:%d: %s\n", file, line, what.c_str());
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
  const Arguments arguments = arguments_of(argc, argv);
  const bool each = arguments.seconds > 0;
  int passed = 0, bad = 0;
  for (const Test& test : wanted(arguments)) {
    if (arguments.list || each) std::printf("%s%s\n", each ? "begins " : "", test.name);
    if (arguments.list) continue;
    if (each) alarm(arguments.seconds);
    const bool good = run(test);
    if (each) alarm(0);
    (good ? passed : bad)++;
    if (!good) std::printf("FAILED %s\n", test.name);
    if (good && each) std::printf("passed %s\n", test.name);
    if (!good && each) break;
  }
  if (arguments.list) return 0;
  std::printf("kernels: %d passed, %d failed\n", passed, bad);
  // None that is left is well where others came before.
  return bad == 0 && (passed > 0 || !arguments.after.empty()) ? 0 : 1;
}
