#include "check.h"
#include "core/copies.h"
#include "core/fragments.h"
#include "device.h"
#include "emulator/cuda.h"
#include "error.h"

namespace millrace::test {
namespace {

using emulator::run_grid;

// The message of the Error that a kernel ends with.
template <class Body>
std::string fault_of(dim3 grid, dim3 block, const Body& body) {
  try {
    run_grid(grid, block, 64, body);
  } catch (const Error& e) {
    return e.message;
  }
  return "";
}

}  // namespace

TEST(threads_of_a_block_meet_at_its_barrier) {
  std::vector<int> seen(3 * 128, -1);
  run_grid({3, 1, 1}, {64, 2, 1}, 128 * sizeof(int), [&] {
    auto* shared = reinterpret_cast<int*>(emulator::shared_memory());
    int i = static_cast<int>(threadIdx.y * blockDim.x + threadIdx.x);
    for (int round = 0; round < 3; round++) {
      shared[i] = i * (round + 1);
      __syncthreads();
      int other = shared[127 - i];
      __syncthreads();
      if (round == 2) seen[blockIdx.x * 128 + static_cast<unsigned>(i)] = other;
    }
  });
  for (int i = 0; i < 3 * 128; i++) CHECK(seen[static_cast<size_t>(i)] == (127 - i % 128) * 3, "%d has %d", i, seen[static_cast<size_t>(i)]);
}

TEST(a_thread_that_has_ended_is_not_waited_for) {
  int met = 0;
  run_grid(1, 64, 0, [&] {
    if (threadIdx.x >= 40) return;
    __syncthreads();
    atomicAdd(&met, 1);
  });
  CHECK(met == 40, "%d", met);
}

TEST(threads_of_a_warp_shuffle_and_vote) {
  run_grid(1, 64, 0, [&] {
    int i = static_cast<int>(threadIdx.x);
    CHECK(__shfl_xor_sync(emulator::kWholeWarp, i, 5) == (i ^ 5));
    CHECK(__shfl_sync(emulator::kWholeWarp, i * 2, 7) == (i / 32 * 32 + 7) * 2);
    CHECK(__ballot_sync(emulator::kWholeWarp, i % 3 == 0) == (i < 32 ? 0x49249249u : 0x92492492u));
    CHECK(__any_sync(emulator::kWholeWarp, i == 40) == (i >= 32));
  });
}

TEST(shared_memory_begins_as_no_number) {
  run_grid({2, 1, 1}, 32, 128, [&] {
    auto* shared = reinterpret_cast<float*>(emulator::shared_memory());
    CHECK(std::isnan(shared[threadIdx.x]));
    shared[threadIdx.x] = 1;
  });
}

TEST(what_is_copied_is_there_after_the_wait_for_its_group) {
  alignas(16) float from[3 * 32];
  for (int i = 0; i < 3 * 32; i++) from[i] = static_cast<float>(i);
  run_grid(1, 32, sizeof from, [&] {
    auto* shared = reinterpret_cast<float*>(emulator::shared_memory());
    const unsigned i = threadIdx.x;
    for (unsigned g = 0; g < 3; g++) {
      cuda::copy_async<4>(shared + g * 32 + i, from + g * 32 + i, i != 5);
      cuda::close_copies();
    }
    CHECK(std::isnan(shared[i]) && std::isnan(shared[64 + i]));
    cuda::wait_for_copies<1>();
    CHECK(shared[i] == (i == 5 ? 0 : from[i]) && shared[32 + i] == (i == 5 ? 0 : from[32 + i]) && std::isnan(shared[64 + i]));
    cuda::wait_for_copies<0>();
    CHECK(shared[64 + i] == (i == 5 ? 0 : from[64 + i]));
    // Of the thread that runs first another's copy is not there before the barrier.
    cuda::copy_async<4>(shared + i, from + 32 + i);
    cuda::close_copies();
    cuda::wait_for_copies<0>();
    if (i == 0) CHECK(std::isnan(shared[1]) || shared[1] == 1);
    __syncthreads();
    CHECK(shared[31 - i] == from[63 - i]);
  });
}

TEST(a_launch_that_does_not_wait_for_the_one_before_it_reads_too_early) {
  cuda::Stream stream;
  for (bool waits : {true, false}) {
    int right = 0;
    for (int round = 0; round < 6; round++) {
      int made = 0, seen = 0;
      cuda::launch_early(+[](int* out) { cuda::await_launches(); if (threadIdx.x == 0) *out = 1; }, 1, 32, 0, stream, &made);
      cuda::launch_early(+[](const int* in, int* out, bool wait) {
        if (wait) cuda::await_launches();
        if (threadIdx.x == 31) *out = *in + 1;
      }, 1, 32, 0, stream, static_cast<const int*>(&made), &seen, waits);
      stream.synchronize();
      CHECK(made == 1);
      right += seen == 2 ? 1 : 0;
    }
    CHECK(waits ? right == 6 : right < 3, "%d right with a wait: %d", right, waits);
  }
}

TEST(what_would_hang_or_be_undefined_on_a_device_is_an_error) {
  std::string waits = fault_of({2, 1, 1}, 32, [] {
    if (blockIdx.x == 1 && threadIdx.x == 3) {
      __syncthreads();
    } else if (blockIdx.x == 1) {
      __syncwarp();
    }
  });
  CHECK(has(waits, "block (1, 0, 0)") && has(waits, "in vain"), "%s", waits.c_str());
  std::string differ = fault_of(1, 32, [] {
    if (threadIdx.x < 3) {
      __syncwarp();
    } else {
      __shfl_sync(emulator::kWholeWarp, 1, 0);
    }
  });
  CHECK(has(differ, "different operations"), "%s", differ.c_str());
  CHECK(has(fault_of(1, 32, [] { __shfl_sync(0xffffu, 1, 0); }), "part of a warp"));
  CHECK(has(fault_of(1, 33, [] {}), "33 threads"));
  alignas(16) float place[8] = {};
  CHECK(has(fault_of(1, 32, [&] { cuda::copy_async<4>(place, place + 4); }), "no shared memory"));
  CHECK(has(fault_of(1, 32, [&] { cuda::copy_async<16>(emulator::shared_memory(), place + 1); }), "not aligned"));
  CHECK(has(fault_of({1, 70000, 1}, 32, [] {}), "70000"));
  // It serves again afterwards.
  int ran = 0;
  run_grid(1, 32, 0, [&] { ran++; });
  CHECK(ran == 32);
}

namespace {

// A · B of a 16 x 16 and a 16 x 8 matrix by the kernels' operands, in the order of columns that they use.
template <class Math>
void check_product(double bound) {
  Random random(3);
  std::vector<float> a = random.normals(16 * 16), b = random.normals(16 * 8), c = random.normals(16 * 8);
  std::vector<float> out(16 * 8, NAN);
  run_grid(1, 32, 0, [&] {
    size_t g = threadIdx.x / 4, t = threadIdx.x % 4;
    float rows[8], columns[4];
    for (size_t j = 0; j < 4; j++) {
      rows[j] = a[g * 16 + 4 * t + j];
      rows[4 + j] = a[(g + 8) * 16 + 4 * t + j];
      columns[j] = b[(4 * t + j) * 8 + g];
    }
    cuda::Sum sum;
    for (size_t i = 0; i < 4; i++) sum.v[i] = c[(g + i / 2 * 8) * 8 + 2 * t + i % 2];
    Math::multiply(sum, Math::a(rows), Math::b(columns));
    for (size_t i = 0; i < 4; i++) out[(g + i / 2 * 8) * 8 + 2 * t + i % 2] = sum.v[i];
  });
  std::vector<double> expected;
  for (size_t m = 0; m < 16; m++) {
    for (size_t n = 0; n < 8; n++) {
      double sum = c[m * 8 + n];
      for (size_t k = 0; k < 16; k++) sum += static_cast<double>(a[m * 16 + k]) * b[k * 8 + n];
      expected.push_back(sum);
    }
  }
  double error = difference(out.data(), expected.data(), out.size());
  CHECK(error < bound, "%g", error);
}

}  // namespace

TEST(products_of_a_warp_agree_with_double_precision) {
  check_product<cuda::Bf16>(4e-3);
  check_product<cuda::F16>(5e-4);
  check_product<cuda::F32>(1e-6);
}

TEST(products_of_bytes_are_exact) {
  Random random(4);
  int8_t a[16][32], b[32][8];
  for (auto& row : a) for (int8_t& x : row) x = static_cast<int8_t>(random.below(256) - 128);
  for (auto& row : b) for (int8_t& x : row) x = static_cast<int8_t>(random.below(256) - 128);
  int32_t out[16][8];
  run_grid(1, 32, 0, [&] {
    unsigned g = threadIdx.x / 4, t = threadIdx.x % 4;
    auto word = [](auto at) {
      uint32_t bits = 0;
      for (unsigned i = 0; i < 4; i++) bits |= static_cast<uint32_t>(static_cast<uint8_t>(at(i))) << 8 * i;
      return bits;
    };
    // The layout of the PTX manual for m16n8k32: four bytes a register, columns 4t on, then 16 further.
    uint32_t ra[4], rb[2];
    for (unsigned r = 0; r < 4; r++) ra[r] = word([&](unsigned i) { return a[g + r % 2 * 8][4 * t + i + r / 2 * 16]; });
    for (unsigned r = 0; r < 2; r++) rb[r] = word([&](unsigned i) { return b[4 * t + i + r * 16][g]; });
    int32_t d[4] = {1, 2, 3, 4};
    emulator::product_int8(d, ra, rb);
    for (int i = 0; i < 4; i++) out[g + static_cast<unsigned>(i) / 2 * 8][2 * t + static_cast<unsigned>(i) % 2] = d[i] - (i + 1);
  });
  for (int m = 0; m < 16; m++) {
    for (int n = 0; n < 8; n++) {
      int sum = 0;
      for (int k = 0; k < 32; k++) sum += a[m][k] * b[k][n];
      CHECK(out[m][n] == sum, "%d, %d: %d, not %d", m, n, out[m][n], sum);
    }
  }
}

}  // namespace millrace::test
