// Memory of the host that fails while weights are laid out. A sanitizer has an allocator of its own.
#include "cuda_api.h"

#if !defined(__SANITIZE_ADDRESS__) && !MR_RACES
#include <atomic>
#include <cstdlib>
#include <new>
#include <thread>

#include "models.h"
#include "products.h"

namespace {

// While it is set, all threads but those that are spared ask for memory in vain.
std::atomic<bool> fails{false};
thread_local bool spared = false;

}  // namespace

void* operator new(size_t bytes) {
  if (!fails || spared) {
    if (void* memory = std::malloc(bytes > 0 ? bytes : 1)) return memory;
  }
  throw std::bad_alloc();
}

void operator delete(void* memory) noexcept { std::free(memory); }

void operator delete(void* memory, size_t) noexcept { std::free(memory); }

namespace millrace::test {

// Thrown out of a helper it would end the process.
TEST(memory_that_fails_in_a_helper_that_lays_a_weight_out_is_an_error) {
  if (std::thread::hardware_concurrency() < 2) {
    std::printf("SKIPPED, a single processor has no helpers\n");
    return;
  }
  constexpr int kRows = 1024, kColumns = 1024;
  Random random(58);
  Products products(kRows, kColumns, random);
  auto runner = products.p.runner(cuda_options(0));
  const std::vector<uint8_t> stored = random_stored(MR_Q4_0, kRows, kColumns, random);
  char text[512] = "";
  auto bind = [&] { return mr_bind(runner->model(), products.weight, MR_Q4_0, kRows, kColumns, stored.data(), static_cast<int64_t>(stored.size()), text, sizeof text); };
  spared = true;
  fails = true;
  const int32_t status = bind();
  fails = false;
  CHECK(status == MR_MEMORY, "%d %s", status, text);
  CHECK(bind() == MR_OK, "%s", text);
}

}  // namespace millrace::test
#endif
