#include "arena.h"

#include <algorithm>
#include <string>

#if defined(__SANITIZE_ADDRESS__) && MR_EMULATED
#include <sanitizer/asan_interface.h>
#endif

namespace millrace::cuda {
namespace {

// What cudaMalloc aligns to, and every kernel and library is content with.
constexpr int64_t kAlignment = 512;

// Beside a piece under a sanitizer, which finds a kernel that reads there, as beside an allocation.
#if defined(__SANITIZE_ADDRESS__) && MR_EMULATED
constexpr int64_t kFence = kAlignment;
void close(const Memory& slab) { __asan_poison_memory_region(slab.data(), static_cast<size_t>(slab.size())); }
void open(const Piece& piece) { __asan_unpoison_memory_region(piece.data(), static_cast<size_t>(piece.size())); }
#else
constexpr int64_t kFence = 0;
void close(const Memory&) {}
void open(const Piece&) {}
#endif

int64_t aligned(int64_t bytes) { return (bytes + kFence + kAlignment - 1) / kAlignment * kAlignment; }

}  // namespace

size_t Slabs::find(int64_t bytes) const {
  const auto found = std::find_if(slabs_.begin(), slabs_.end(), [&](const Slab& s) { return s.used + aligned(bytes) <= s.bytes; });
  return static_cast<size_t>(found - slabs_.begin());
}

int64_t Slabs::missing(int64_t bytes) const {
  if (find(bytes) < slabs_.size()) return 0;
  return bytes > kLargestShared ? allocated(aligned(bytes)) : kSlabBytes;
}

Slabs::Place Slabs::take(int64_t bytes) {
  const size_t slab = find(bytes);
  const int64_t at = slabs_[slab].used;
  slabs_[slab].used += aligned(bytes);
  return {slab, at};
}

void Slabs::put(int64_t bytes) {
  if (bytes == 0) return;
  if (const int64_t slab = missing(bytes); slab > 0) add(slab);
  take(bytes);
}

int64_t Slabs::bytes() const {
  int64_t sum = 0;
  for (const Slab& s : slabs_) sum += s.bytes;
  return sum;
}

Piece Arena::take(int64_t bytes, const char* what) {
  if (bytes == 0) return {};
  if (const int64_t slab = slabs_.missing(bytes); slab > 0) {
    slabs_.reserve();
    const std::string shared = std::string(what) + " with what follows it";
    memory_.emplace_back(slab, bytes > kLargestShared ? what : shared.c_str());
    slabs_.add(slab);
    close(memory_.back());
  }
  const Slabs::Place place = slabs_.take(bytes);
  const Piece piece(memory_[place.slab].data() + place.at, bytes);
  open(piece);
  return piece;
}

}  // namespace millrace::cuda
