// What callers of the C ABI may ask for, whatever computes it. Each function throws an Error that says what is wrong.
#pragma once
#include <cstdint>
#include <vector>

#include "millrace.h"
#include "program.h"

namespace millrace {

inline constexpr int kMaxGroups = 64;
inline constexpr int kRopeTables = 64;

// Version, precision, blocks and their groups.
void check_options(const mr_options& options);

// A group of the cache as the program's ops see it.
struct CacheShape {
  int layers = 0, heads = 0, key_dim = 0, value_dim = 0;
  // Keys are the latent and the turned part, values the latent.
  bool latent = false;
};
// That the heads of each op are those of its group.
void check_cache(const Program& program, const std::vector<CacheShape>& groups);

// A weight of the program; its name and sizes.
const Tensor& check_weight(const Program& program, int tensor, int64_t rows, int64_t columns);
void check_stored(const Tensor& weight, int type, int64_t rows, int64_t columns, int64_t bytes);
void check_grouped(const Tensor& weight, int64_t columns, const mr_groups& groups);
void check_rope(int table, int half);

// `blocks`: of each group; `before`: logit rows of the step before to which tokens may refer.
void check_step(const mr_step& step, int vocabulary, int block_tokens, const std::vector<int>& blocks, int before = 0);
// Of a step that was checked. `before` as above; `words`: how many there are.
void check_sampling(const mr_step& step, const mr_sampling* sampling, int vocabulary, int64_t words, int before);
// `blocks` of each group; those that are copied exist.
void check_copy(int group, const int32_t* from, const int32_t* to, int count, const std::vector<int>& blocks);
// `blocks` and `host_blocks` of each group; `in`: host blocks are read, and each block is written once.
void check_swap(int group, const int32_t* blocks_at, const int32_t* host_at, int count, const std::vector<int>& blocks, const std::vector<int>& host_blocks, bool in);

// What the numerics id says of a cache's type.
const char* cache_suffix(int type);

}  // namespace millrace
