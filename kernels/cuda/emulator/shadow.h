// What is remembered of memory to find races: for every 8 bytes, who has touched which of them and may still be beside somebody.
#pragma once
#include <array>
#include <cstdint>
#include <memory>
#include <unordered_map>
#include <vector>

#include "races.h"

namespace millrace::emulator::races {

// More than one block.
inline constexpr uint32_t kManyBlocks = 0xffffffffu;

// Accesses of the same bytes by threads of a warp whose clocks are the same.
struct Mark {
  const void* where;
  uint32_t launch, block, epoch, clock, lanes;
  uint16_t warp;
  uint8_t bytes;
  Kind kind;
};

// Eight bytes.
class Cell {
 public:
  uint32_t count() const { return count_; }
  Mark& operator[](uint32_t i) { return i < kNear ? near_[i] : (*far_)[i - kNear]; }
  void add(const Mark& mark) {
    if (count_ < kNear) {
      near_[count_] = mark;
    } else {
      if (!far_) far_ = std::make_unique<std::vector<Mark>>();
      far_->resize(count_ - kNear);
      far_->push_back(mark);
    }
    count_++;
  }
  // Another takes its place.
  void remove(uint32_t i) {
    count_--;
    if (i != count_) (*this)[i] = (*this)[count_];
  }

 private:
  static constexpr uint32_t kNear = 2;
  uint32_t count_ = 0;
  Mark near_[kNear];
  std::unique_ptr<std::vector<Mark>> far_;
};

// Of the device's memory, as it is touched.
class Shadow {
 public:
  Cell& at(uintptr_t address) {
    const uintptr_t page = address / kPageBytes;
    Found& found = found_[page % kFound];
    if (!found.cells || found.page != page) {
      auto& held = pages_[page];
      if (!held) held = std::make_unique<Page>();
      found = {page, held.get()};
    }
    return (*found.cells)[address % kPageBytes / 8];
  }
  // When everything in it has ended.
  void forget() {
    if (pages_.size() < kMostPages) return;
    pages_.clear();
    found_ = {};
  }

 private:
  static constexpr uintptr_t kPageBytes = 4096, kFound = 64;
  static constexpr size_t kMostPages = 2048;
  using Page = std::array<Cell, kPageBytes / 8>;
  struct Found {
    uintptr_t page = 0;
    Page* cells = nullptr;
  };
  std::unordered_map<uintptr_t, std::unique_ptr<Page>> pages_;
  std::array<Found, kFound> found_{};
};

}  // namespace millrace::emulator::races
