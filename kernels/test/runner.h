// Runs step programs behind the C ABI, for tests.
#pragma once
#include <memory>

#include "check.h"
#include "millrace.h"
#include "program_builder.h"

namespace millrace::test {

// A sequence and where its blocks are.
struct Sequence {
  std::vector<int32_t> ids;
  std::vector<int32_t> blocks;
  int computed = 0;
};

// A model behind the C ABI; fails the test on a status that is not MR_OK.
class Runner {
 public:
  Runner(const std::vector<int32_t>& program, mr_options options, const std::vector<mr_kv_group>& groups, uint32_t seed);
  ~Runner() { mr_free(model_); }

  void bind(int tensor, int type, int rows, int columns, const std::vector<uint8_t>& data);
  void bind(int tensor, int rows, int columns, const std::vector<float>& data);
  void rope(const std::vector<float>& frequencies);
  // The next `counts[i]` ids of each sequence; logits of every row.
  std::vector<float> step(const std::vector<Sequence*>& sequences, const std::vector<int>& counts, int vocabulary);
  std::vector<float> read(int tensor, int rows, int width);
  mr_model* model() { return model_; }

 private:
  mr_model* model_ = nullptr;
  std::vector<mr_kv_group> groups_;
  int block_tokens_;
  std::vector<int32_t> free_;
};

mr_options options(int isa, int threads);

}  // namespace millrace::test
