#include "memory.h"

#include <sys/mman.h>

#include <utility>

#include "error.h"

namespace millrace {
namespace {

constexpr int64_t kHuge = int64_t{1} << 21;

// Large pieces are whole huge pages.
int64_t mapped(int64_t bytes) {
  int64_t unit = bytes >= kHuge / 2 ? kHuge : 4096;
  return (bytes + unit - 1) / unit * unit;
}

}  // namespace

Memory::Memory(int64_t bytes) {
  if (bytes <= 0) return;
  int64_t size = mapped(bytes);
  bool huge = size % kHuge == 0;
  int64_t reserve = huge ? size + kHuge : size;
  void* p = mmap(nullptr, static_cast<size_t>(reserve), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (p == MAP_FAILED) fail(MR_MEMORY, "%lld MiB of memory could not be had", static_cast<long long>(bytes >> 20));
  auto address = reinterpret_cast<uintptr_t>(p);
  uintptr_t start = address;
  if (huge) {
    start = (address + kHuge - 1) / kHuge * kHuge;
    uintptr_t end = start + static_cast<uintptr_t>(size);
    if (start > address) munmap(p, start - address);
    uintptr_t tail = address + static_cast<uintptr_t>(reserve) - end;
    if (tail > 0) munmap(reinterpret_cast<void*>(end), tail);
#ifdef MADV_HUGEPAGE
    madvise(reinterpret_cast<void*>(start), static_cast<size_t>(size), MADV_HUGEPAGE);
#endif
  }
  data_ = reinterpret_cast<uint8_t*>(start);
  size_ = size;
}

Memory::Memory(Memory&& other) noexcept : data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}

Memory& Memory::operator=(Memory&& other) noexcept {
  std::swap(data_, other.data_);
  std::swap(size_, other.size_);
  return *this;
}

Memory::~Memory() {
  if (data_) munmap(data_, static_cast<size_t>(size_));
}

uint8_t* Slabs::take(int64_t bytes) {
  constexpr int64_t kSlab = 16 * kHuge;
  bytes = (bytes + 63) / 64 * 64;
  if (all_.empty() || used_ + bytes > all_.back().size()) {
    all_.emplace_back(bytes > kSlab ? bytes : kSlab);
    used_ = 0;
  }
  uint8_t* piece = all_.back().data() + used_;
  used_ += bytes;
  size_ += bytes;
  return piece;
}

void Memory::need(int64_t bytes) {
  if (bytes > size_) {
    *this = Memory();
    *this = Memory(bytes + bytes / 4);
  }
}

}  // namespace millrace
