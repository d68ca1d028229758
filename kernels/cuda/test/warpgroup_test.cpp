#include <functional>

#include "check.h"
#include "core/copies.h"
#include "core/warpgroup.h"
#include "emulator/cuda.h"
#include "error.h"

namespace millrace::test {
namespace {

using cuda::Bf16;
using cuda::F16;
using emulator::element_address;
using emulator::run_grid;
using emulator::SharedMatrix;

constexpr int kRows = 64, kDepth = 64, kColumns = 128;

std::string fault_of(int threads, size_t shared, const std::function<void()>& body) {
  try {
    run_grid(1, static_cast<unsigned>(threads), shared, body);
  } catch (const Error& e) {
    return e.message;
  }
  return "";
}

// Swizzle<bits, 4, 3> of the ISA's table.
uint32_t swizzled(uint32_t at, int bits) { return at ^ ((at >> 7 & ((1u << bits) - 1)) << 4); }

// Places of a 64-byte-aligned matrix [rows][64 values] in patterns of 128-byte rows.
size_t pattern_place(int row, int column) { return static_cast<size_t>(column / 64 * kColumns * 128 + row * 128 + (column % 64 / 8 ^ row % 8) * 16 + column % 8 * 2); }

// Two matrices, [64][64] and [128][64] or [64][128], in shared memory from 0 and from 16 KiB on.
struct Operands {
  std::vector<float> a, b;
  bool transposed;

  Operands(bool is_transposed, Random& random) : a(random.normals(kRows * kDepth)), b(random.normals(kColumns * kDepth)), transposed(is_transposed) {}

  template <class Math>
  void place() const {
    uint8_t* shared = emulator::shared_memory();
    auto put = [&](size_t at, float x) {
      const uint16_t value = Math::narrow(x);
      std::memcpy(shared + at, &value, 2);
    };
    for (int m = 0; m < kRows; m++) {
      for (int k = 0; k < kDepth; k++) put(pattern_place(m, k), a[static_cast<size_t>(m * kDepth + k)]);
    }
    for (int n = 0; n < kColumns; n++) {
      for (int k = 0; k < kDepth; k++) {
        put((16 << 10) + (transposed ? pattern_place(k, n) : pattern_place(n, k)), b[static_cast<size_t>(n * kDepth + k)]);
      }
    }
  }

  uint64_t describe_a(int k) const { return cuda::describe(static_cast<uint32_t>(2 * k), cuda::kSwizzleBytes); }
  uint64_t describe_b(int k) const {
    return transposed ? cuda::describe(static_cast<uint32_t>((16 << 10) + k * 128), cuda::kSwizzleBytes, kColumns * 128)
                      : cuda::describe(static_cast<uint32_t>((16 << 10) + 2 * k), cuda::kSwizzleBytes);
  }

  template <class Math>
  double expected(int m, int n) const {
    auto stored = [](float x) { return Math::kType == MR_BF16 ? bf16_to_float(Math::narrow(x)) : half_to_float(Math::narrow(x)); };
    double sum = 0.5;
    for (int k = 0; k < kDepth; k++) sum += static_cast<double>(stored(a[static_cast<size_t>(m * kDepth + k)])) * stored(b[static_cast<size_t>(n * kDepth + k)]);
    return sum;
  }
};

constexpr size_t kShared = 48 << 10;

template <class Math>
void check_products(bool registers, Random& random) {
  const Operands all(registers, random);
  std::vector<float> out(kRows * kColumns, NAN);
  std::vector<double> expected;
  run_grid(1, 128, kShared, [&] {
    const int t = static_cast<int>(threadIdx.x), g = t / 32 * 16 + t % 32 / 4, c = t % 4 * 2;
    if (t == 0) all.place<Math>();
    __syncthreads();
    float d[64];
    for (float& x : d) x = 0.5f;
    uint32_t rows[kDepth / 16][4];
    for (int k = 0; k < kDepth; k += 16) {
      for (int i = 0; i < 4; i++) {
        const float* from = &all.a[static_cast<size_t>((g + i % 2 * 8) * kDepth + k + c + i / 2 * 8)];
        rows[k / 16][i] = Math::narrow(from[0]) | static_cast<uint32_t>(Math::narrow(from[1])) << 16;
      }
    }
    cuda::fence_products();
    for (int k = 0; k < kDepth; k += 16) {
      if (registers) {
        cuda::multiply_registers<Math>(d, rows[k / 16], all.describe_b(k), 1);
      } else {
        cuda::multiply_shared<Math>(d, all.describe_a(k), all.describe_b(k), 1);
      }
    }
    cuda::commit_products();
    CHECK(std::isnan(d[0]) && std::isnan(d[63]));
    cuda::wait_for_products<0>();
    for (int i = 0; i < 64; i++) out[static_cast<size_t>((g + i / 2 % 2 * 8) * kColumns + i / 4 * 8 + c + i % 2)] = d[i];
  });
  for (int m = 0; m < kRows; m++) {
    for (int n = 0; n < kColumns; n++) expected.push_back(all.expected<Math>(m, n));
  }
  const double error = difference(out.data(), expected.data(), out.size());
  CHECK(error < 1e-6, "type %d, from registers %d: %g", Math::kType, registers, error);
}

// What a warpgroup does between a fence and a wait, on operands that are there.
std::string fault_between(const std::function<void(float (&)[64], const Operands&)>& body) {
  Random random(5);
  const Operands all(false, random);
  return fault_of(128, kShared, [&] {
    if (threadIdx.x == 0) all.place<Bf16>();
    __syncthreads();
    float d[64] = {};
    body(d, all);
    cuda::wait_for_products<0>();
  });
}

}  // namespace

// The layouts that the ISA's examples for 16-bit values give as strides, and the patterns of its figures.
TEST(descriptors_address_shared_memory_as_the_manual_says) {
  struct Example {
    int swizzle, bits, width;
    uint32_t leading, stride;
    // Strides in values: of 8 values, of the next of a row of the pattern, of the next row of patterns; of columns, of 8 columns.
    uint32_t piece, pieces, column, columns;
  };
  for (const Example& e : {Example{0, 0, 1, 256, 128, 8, 64, 8, 128}, {32, 1, 2, 256, 512, 8, 128, 16, 256}, {64, 2, 4, 512, 1024, 8, 256, 32, 512}}) {
    const SharedMatrix matrix{0, e.leading, e.stride, e.swizzle};
    for (int mn = 0; mn < 16 * e.width; mn++) {
      for (int k = 0; k < 16; k++) {
        const auto place = static_cast<uint32_t>(mn % 8) + static_cast<uint32_t>(mn / 8 % e.width) * e.piece + static_cast<uint32_t>(mn / 8 / e.width) * e.pieces +
                           static_cast<uint32_t>(k % 8) * e.column + static_cast<uint32_t>(k / 8) * e.columns;
        const uint32_t at = element_address(matrix, true, mn, k);
        CHECK(at == swizzled(2 * place, e.bits), "swizzle %d: (%d, %d) at %u", e.swizzle, mn, k, at);
      }
    }
  }
  // Depth first: no swizzle with pieces 256 bytes apart, and 32 bytes.
  for (int m = 0; m < 16; m++) {
    for (int k = 0; k < 16; k++) {
      const auto r = static_cast<uint32_t>(m % 8), o = static_cast<uint32_t>(m / 8), p = static_cast<uint32_t>(k / 8), c = static_cast<uint32_t>(k % 8 * 2);
      CHECK(element_address({0, 256, 128, 0}, false, m, k) == r * 16 + o * 128 + p * 256 + c);
      CHECK(element_address({0, 16, 256, 32}, false, m, k) == swizzled(r * 32 + o * 256 + p * 16 + c, 1));
    }
  }
  // 128 bytes: piece p of row r stands at p ^ r, also for matrices that begin within the row.
  for (uint32_t first : {0u, 2u, 4u, 6u}) {
    for (int r = 0; r < 24; r++) {
      for (int k = 0; k < 16; k++) {
        const auto row = static_cast<uint32_t>(r), piece = (first + static_cast<uint32_t>(k / 8)) ^ (row % 8);
        const uint32_t expected = 2048 + row * 128 + piece * 16 + static_cast<uint32_t>(k % 8 * 2);
        CHECK(element_address({2048 + first * 16, 16, 1024, 128}, false, r, k) == expected, "row %d, k %d", r, k);
        if (first == 0 && k < 16 && r < 16) {
          const auto column = static_cast<uint32_t>(k), place = static_cast<uint32_t>(r);
          CHECK(element_address({2048, 4096, 1024, 128}, true, 64 + r, k) == 2048 + 4096 + column * 128 + (place / 8 ^ column % 8) * 16 + place % 8 * 2);
        }
      }
    }
  }
  const SharedMatrix read = emulator::decode_descriptor(cuda::describe(0x12340, 1024, 16384));
  CHECK(read.start == 0x12340 && read.stride_bytes == 1024 && read.leading_bytes == 16384 && read.swizzle == 128);
}

TEST(powers_of_two_are_those_of_double_precision) {
  for (int i = 0; i <= 126 * 64; i++) {
    const float x = static_cast<float>(-i) / 64;
    const double exact = std::exp2(static_cast<double>(x));
    CHECK(std::fabs(static_cast<double>(cuda::power_of_two(x)) - exact) <= 1.5e-7 * exact, "2^%g", static_cast<double>(x));
  }
  for (int i = -2000; i <= 2000; i++) {
    const double x = i / 16.0, exact = 30 * std::tanh(x / 30);
    const float twice = static_cast<float>(2 * std::log2(std::exp(1.0)) / 30);
    CHECK(std::fabs(static_cast<double>(cuda::soft_cap_of_two(static_cast<float>(x) * twice, 30)) - exact) < 1e-5, "cap of %g", x);
  }
  CHECK(std::isnan(cuda::soft_cap_of_two(NAN, 30)) && cuda::soft_cap_of_two(-INFINITY, 30) == -30);
  CHECK(cuda::power_of_two(0) == 1 && cuda::power_of_two(-INFINITY) == 0 && cuda::power_of_two(-127) == 0 && std::isnan(cuda::power_of_two(NAN)));
}

TEST(products_of_a_warpgroup_agree_with_double_precision) {
  Random random(6);
  for (bool registers : {false, true}) {
    check_products<Bf16>(registers, random);
    check_products<F16>(registers, random);
  }
}

TEST(products_that_are_not_waited_for_or_disturbed_are_found) {
  // What has no wait is no number; of two groups the wait for the first gives the first alone.
  std::string none = fault_between([](float (&d)[64], const Operands& all) {
    float other[64] = {};
    cuda::fence_products();
    cuda::multiply_shared<Bf16>(d, all.describe_a(0), all.describe_b(0), 0);
    cuda::commit_products();
    cuda::multiply_shared<Bf16>(other, all.describe_a(0), all.describe_b(0), 0);
    cuda::commit_products();
    cuda::wait_for_products<1>();
    CHECK(std::isfinite(d[0]) && std::isnan(other[0]));
    cuda::wait_for_products<0>();
    CHECK(std::memcmp(d, other, sizeof d) == 0);
  });
  CHECK(none.empty(), "%s", none.c_str());
  auto product = [](float (&d)[64], const Operands& all) { cuda::multiply_shared<Bf16>(d, all.describe_a(0), all.describe_b(0), 1); };
  CHECK(has(fault_between([&](float (&d)[64], const Operands& all) { product(d, all); }), "no fence"));
  std::string early = fault_between([&](float (&d)[64], const Operands& all) {
    cuda::fence_products();
    product(d, all);
    cuda::commit_products();
    cuda::meet<128>(1);
    if (threadIdx.x == 7) emulator::shared_memory()[(16 << 10) + 5] ^= 1;
    cuda::meet<128>(1);
  });
  CHECK(has(early, "before it had ended"), "%s", early.c_str());
  std::string unfenced = fault_between([&](float (&d)[64], const Operands& all) {
    cuda::meet<128>(1);
    cuda::store_shared(emulator::shared_memory() + threadIdx.x * 16, {1, 2, 3, 4});
    cuda::meet<128>(1);
    cuda::fence_products();
    product(d, all);
  });
  CHECK(has(unfenced, "without a fence"), "%s", unfenced.c_str());
  std::string different = fault_between([&](float (&d)[64], const Operands& all) {
    cuda::fence_products();
    cuda::multiply_shared<Bf16>(d, all.describe_a(0), all.describe_b(threadIdx.x < 96 ? 0 : 16), 1);
  });
  CHECK(has(different, "different products"), "%s", different.c_str());
  std::string beyond = fault_between([&](float (&d)[64], const Operands& all) {
    cuda::fence_products();
    cuda::multiply_shared<Bf16>(d, all.describe_a(0), cuda::describe(40 << 10, 1024), 1);
  });
  CHECK(has(beyond, "beyond shared memory"), "%s", beyond.c_str());
  std::string missing = fault_between([&](float (&d)[64], const Operands& all) {
    if (threadIdx.x < 32) return;
    cuda::fence_products();
    product(d, all);
    cuda::commit_products();
  });
  CHECK(has(missing, "in vain"), "%s", missing.c_str());
}

// A ring of two places between a warp that copies and one that reads, by parities; then what would hang.
TEST(gates_and_named_barriers_let_threads_wait_for_each_other) {
  constexpr int kSteps = 7;
  std::vector<float> from(kSteps * 32), to(kSteps * 32);
  for (size_t i = 0; i < from.size(); i++) from[i] = static_cast<float>(i);
  run_grid(1, 64, 512, [&] {
    auto* places = reinterpret_cast<float*>(emulator::shared_memory());
    auto* gates = reinterpret_cast<uint64_t*>(places + 64);
    if (threadIdx.x == 0) {
      for (int i = 0; i < 2; i++) {
        cuda::init_gate(gates + i, 32);
        cuda::init_gate(gates + 2 + i, 1);
      }
    }
    __syncthreads();
    const unsigned lane = threadIdx.x % 32;
    for (int i = 0; i < kSteps; i++) {
      const int place = i % 2, turn = i / 2 % 2;
      if (threadIdx.x < 32) {
        cuda::wait_for(gates + 2 + place, turn ^ 1);
        cuda::copy_async<4>(places + place * 32 + lane, &from[static_cast<size_t>(i) * 32 + lane]);
        cuda::close_copies();
        cuda::wait_for_copies<0>();
        cuda::arrive(gates + place);
      } else {
        cuda::wait_for(gates + place, turn);
        to[static_cast<size_t>(i) * 32 + lane] = places[place * 32 + 31 - lane];
        __syncwarp();
        if (lane == 0) cuda::arrive(gates + 2 + place);
      }
    }
  });
  for (size_t i = 0; i < to.size(); i++) CHECK(to[i] == from[i / 32 * 32 + 31 - i % 32], "%zu", i);
  // One warp says that it was there and goes on; the other waits for it.
  int order = 0;
  run_grid(1, 64, 0, [&] {
    if (threadIdx.x >= 32) {
      order++;
      cuda::announce<64>(3);
    } else {
      cuda::meet<64>(3);
      CHECK(order == 32);
    }
  });
  CHECK(has(fault_of(64, 64, [] { cuda::meet<96>(2); }), "in vain"));
  CHECK(has(fault_of(32, 64, [] { cuda::arrive(reinterpret_cast<uint64_t*>(emulator::shared_memory())); }), "was not made"));
  CHECK(has(fault_of(32, 64, [] {
    auto* gate = reinterpret_cast<uint64_t*>(emulator::shared_memory());
    if (threadIdx.x == 0) cuda::init_gate(gate, 33);
    __syncthreads();
    cuda::arrive(gate);
    cuda::wait_for(gate, 0);
  }), "in vain"));
}

}  // namespace millrace::test
