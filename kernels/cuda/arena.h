// Memory of the device for what a model keeps: many pieces in few allocations.
#pragma once
#include <cstddef>
#include <cstdint>
#include <vector>

#include "device.h"

namespace millrace::cuda {

// What the driver gives memory in; few bytes under the emulator, whose models are small.
inline constexpr int64_t kPageBytes = MR_EMULATED ? 2 << 10 : 2 << 20;
// What many pieces share.
inline constexpr int64_t kSlabBytes = 128 * kPageBytes;
// Of pieces that are larger, for which there is no room, each has a slab of its own: its last page is no great part of it.
inline constexpr int64_t kLargestShared = 8 * kPageBytes;

// Bytes of the device that an allocation takes: whole pages, or a page's equal part of which it has room in.
inline int64_t allocated(int64_t bytes) {
  if (bytes == 0) return 0;
  const int64_t sharing = kPageBytes / bytes;
  return sharing > 1 ? (kPageBytes + sharing - 1) / sharing : (bytes + kPageBytes - 1) / kPageBytes * kPageBytes;
}

// Where pieces go in slabs: into the first that has room. The same pieces in the same order take the same slabs.
class Slabs {
 public:
  struct Place {
    size_t slab;
    int64_t at;
  };

  // Bytes of the slab that a piece wants first; 0: one has room.
  int64_t missing(int64_t bytes) const;
  // The next that is added takes no memory of the host, and so cannot fail.
  void reserve() { slabs_.reserve(slabs_.size() + 1); }
  void add(int64_t bytes) { slabs_.push_back({bytes, 0}); }
  // A place for a piece for which there is room.
  Place take(int64_t bytes);
  // The same with a slab for it where one is missing.
  void put(int64_t bytes);
  // Of all slabs.
  int64_t bytes() const;

 private:
  struct Slab {
    int64_t bytes, used;
  };
  size_t find(int64_t bytes) const;

  std::vector<Slab> slabs_;
};

// A part of an arena, which owns its memory.
class Piece {
 public:
  Piece() = default;
  Piece(uint8_t* data, int64_t size) : data_(data), size_(size) {}

  uint8_t* data() const { return data_; }
  int64_t size() const { return size_; }
  template <class T>
  T* as() const {
    return reinterpret_cast<T*>(data_);
  }

 private:
  uint8_t* data_ = nullptr;
  int64_t size_ = 0;
};

// Slabs of the device. Gives nothing back before all of it.
class Arena {
 public:
  // An Error with MR_MEMORY when there is no memory for it; `what` it is for.
  Piece take(int64_t bytes, const char* what);

 private:
  Slabs slabs_;
  std::vector<Memory> memory_;
};

}  // namespace millrace::cuda
