// Writes step programs in their encoded form.
#pragma once
#include <cstdint>
#include <cstring>
#include <string>
#include <vector>

#include "program.h"

namespace millrace::test {

// Records tensors and ops; a handle is the number of tensors before it.
class Builder {
 public:
  int weight(const std::string& name, int rows, int columns) { return tensor(0, name, {rows, columns}); }
  int vector(const std::string& name, int n) { return tensor(0, name, {n}); }
  int rows(int width) { return tensor(1, "x", {kTokenRows, width}); }
  int logit_rows(int width) { return tensor(1, "x", {kLogitRows, width}); }

  void op(int number, const std::vector<int32_t>& words) {
    ops_.push_back(number);
    ops_.push_back(static_cast<int32_t>(words.size()));
    ops_.insert(ops_.end(), words.begin(), words.end());
    op_count_++;
  }

  std::vector<int32_t> encode() const {
    std::vector<int32_t> words = {0x4D525350, 1, tensor_count_, op_count_};
    words.insert(words.end(), tensors_.begin(), tensors_.end());
    words.insert(words.end(), ops_.begin(), ops_.end());
    return words;
  }

  static int32_t bits(float x) {
    int32_t b;
    std::memcpy(&b, &x, 4);
    return b;
  }

 private:
  int tensor(int role, const std::string& name, const std::vector<int32_t>& sizes) {
    tensors_.push_back(role);
    tensors_.push_back(static_cast<int32_t>(sizes.size()));
    tensors_.insert(tensors_.end(), sizes.begin(), sizes.end());
    tensors_.push_back(static_cast<int32_t>(name.size()));
    for (size_t i = 0; i < name.size(); i += 4) {
      int32_t word = 0;
      for (size_t j = 0; j < 4 && i + j < name.size(); j++) word |= static_cast<uint8_t>(name[i + j]) << 8 * j;
      tensors_.push_back(word);
    }
    return tensor_count_++;
  }

  std::vector<int32_t> tensors_, ops_;
  int tensor_count_ = 0, op_count_ = 0;
};

}  // namespace millrace::test
