// Blocks of the cache, packed: the parts of all layers side by side, so that one copy takes a block to the host or back.
#pragma once
#include "cuda_api.h"

namespace millrace::cuda {

// A stretch of the cache that has the same number of bytes for every block, a multiple of 16; where they lie in a packed block.
struct BlockPart {
  uint8_t* base;
  int64_t block_bytes;
  int64_t at;
};

inline constexpr int kMostPackedBlocks = 64;

struct PackArguments {
  const BlockPart* parts;
  int part_count;
  uint8_t* packed;
  int64_t packed_bytes;
  int count;
  int32_t blocks[kMostPackedBlocks];
};

// Whether the device has code of this library that it can run; CUDA keeps what it says.
cudaError_t look_at_code();

void pack_blocks(cudaStream_t stream, const PackArguments& a);
void unpack_blocks(cudaStream_t stream, const PackArguments& a);

}  // namespace millrace::cuda
