// Large aligned memory.
#pragma once
#include <cstdint>
#include <vector>

namespace millrace {

// Zeroed bytes, aligned to 64 and in huge pages where the system gives them. Moves, does not copy.
class Memory {
 public:
  Memory() = default;
  // An Error with MR_MEMORY when there is none.
  explicit Memory(int64_t bytes);
  Memory(Memory&& other) noexcept;
  Memory& operator=(Memory&& other) noexcept;
  Memory(const Memory&) = delete;
  Memory& operator=(const Memory&) = delete;
  ~Memory();

  uint8_t* data() const { return data_; }
  int64_t size() const { return size_; }
  float* floats() const { return reinterpret_cast<float*>(data_); }

  // Makes it at least that large; what was in it is lost.
  void need(int64_t bytes);

 private:
  uint8_t* data_ = nullptr;
  int64_t size_ = 0;
};

// Many pieces of memory that live as long as this does, aligned to 64, side by side in large ones.
class Slabs {
 public:
  uint8_t* take(int64_t bytes);
  int64_t size() const { return size_; }

 private:
  std::vector<Memory> all_;
  int64_t used_ = 0;
  int64_t size_ = 0;
};

}  // namespace millrace
