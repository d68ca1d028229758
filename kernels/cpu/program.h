// Step programs in their encoded form (docs/step-program.md), taken apart and checked.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

namespace millrace {

enum class OpCode : int32_t {
  kEmbed = 1,
  kRmsNorm = 2,
  kLinear = 3,
  kRope = 4,
  kKvWrite = 5,
  kAttention = 6,
  kGated = 7,
  kAdd = 8,
  kScale = 9,
  kSoftCap = 10,
  kGatherRows = 11,
  kLogits = 12,
  kSample = 13,
  kSigmoidScale = 14,
  kMoeRoute = 34,
  kMoeExperts = 35,
  kLatentAttention = 36
};

// Sizes that change from step to step.
inline constexpr int kTokenRows = -1;
inline constexpr int kLogitRows = -3;

struct Tensor {
  bool weight = false;
  std::string name;
  std::vector<int32_t> sizes;

  // Values of a row.
  int width() const { return sizes.empty() ? 1 : sizes.back(); }
  int rows() const { return sizes.size() < 2 ? 1 : sizes.front(); }
};

// One op; which fields count is the op's affair. Of LATENT_ATTENTION: width is nopeDim, dims ropeDim, key_dim kvRank + ropeDim.
struct Op {
  OpCode code{};
  // Activations that it reads (-1: none).
  int a = -1, b = -1, c = -1;
  std::vector<int> weights, biases, outs;
  int width = 0;
  int heads = 0, kv_heads = 0, key_dim = 0, value_dim = 0;
  int dims = 0, pairs = 0, table = 0;
  int group = 0, layer = 0, window = 0, function = 0;
  int active = 0, renormalise = 0, expert_groups = 1, kept_groups = 1;
  float factor = 1, eps = 0, offset = 0, scale = 1, cap = 0;

  int out() const { return outs.empty() ? -1 : outs.front(); }
};

struct Program {
  std::vector<Tensor> tensors;
  std::vector<Op> ops;
};

// An Error that names the op when the words are malformed or an op is not known here.
Program decode(const int32_t* words, int64_t count);

}  // namespace millrace
