// Whole models of random weights in bf16, as they decode.
#pragma once
#include <cstdint>

namespace millrace::cuda {

struct DecodeShape {
  const char* name;
  int hidden, layers, heads, kv_heads, dim, wide, vocabulary;
  // Whether logits are products with the embedding.
  bool tied;
};

// Llama 3.2 1B, Llama 3.1 8B, and one to see that it runs.
inline constexpr DecodeShape kDecode1B{"1B", 2048, 16, 32, 8, 64, 8192, 128256, true};
inline constexpr DecodeShape kDecode8B{"8B", 4096, 32, 32, 8, 128, 14336, 128256, false};
inline constexpr DecodeShape kDecodeTiny{"tiny", 64, 2, 2, 1, 32, 96, 200, false};

struct DecodeTime {
  // Of a step, and the bytes of weights and of the cache that it reads.
  double ms;
  double bytes;
  // Of submitting one, the median.
  double submit_us;
  // Steps of those measured that ran as a graph, and the launches that it has.
  int64_t graphs, launches;
};

// A step in which each of so many sequences, behind `context` tokens, gets an id; steps are planned one ahead, as the engine does. An Error with MR_MEMORY
// where the device has not got the room.
DecodeTime decode_time(const DecodeShape& shape, int sequences, int context, int steps);

}  // namespace millrace::cuda
