// A block of threads on the CPU: each thread is a fibre, and all take turns on the calling thread. A thread runs until it waits for others:
// at a barrier of the block, or in an operation of its warp. Blocks of a grid run one after the other.
#pragma once
#include <cstdint>
#include <cstring>
#include <functional>
#include <string>
#include <vector>

#include "races.h"

namespace millrace::emulator {

struct Index {
  unsigned x, y, z;
  Index(unsigned x = 1, unsigned y = 1, unsigned z = 1) : x(x), y(y), z(z) {}
};

inline constexpr int kWarpThreads = 32;

// Room for what a thread gives to and takes from an operation of its warp.
inline constexpr size_t kOperandBytes = 64;

struct WarpBuffer {
  int operation = 0;
  uint8_t in[kWarpThreads][kOperandBytes];
  uint8_t out[kWarpThreads][kOperandBytes];
};

// Operations alternate between two buffers: one that is read from is not written before all have read.
struct Warp {
  int arrived = 0;
  unsigned generation = 0;
  WarpBuffer buffers[2];
};

// A copy to shared memory that a thread has begun.
struct Copy {
  uint8_t* to;
  // Null: zeros.
  const uint8_t* from;
  size_t bytes;
  int group;
  // Who has begun it.
  const void* where;
};

// What a thread sees of itself.
struct Thread {
  Index index, block;
  // Of all of its block.
  int number = 0;
  int lane = 0;
  Warp* warp = nullptr;
  std::vector<Copy> copies;
  // Groups of copies that were closed.
  int copy_groups = 0;
};

// The running thread, the sizes of the grid and of its blocks, and the block's shared memory. Only within a kernel.
const Thread& thread();
Index thread_index();
Index block_index();
Index grid_size();
Index block_size();
uint8_t* shared_memory();

// Waits for all threads of the block that have not ended.
void block_barrier();

// For operations of warps: waits until `generation` is no longer that of the warp.
void await_warp(Warp& warp, unsigned generation);

// Lets other threads run until it is so.
void await_until(const std::function<bool()>& ready);

// Copies that a thread does not wait for. Their place is no number until the thread has waited for their group; so a wait that is missing,
// and a place that is written to while others still read it, show in what is computed.
void copy_async(void* to, const void* from, size_t bytes, bool there);
void close_copies();
void wait_for_copies(int groups);

// Ends the kernel with an Error that names it.
[[noreturn]] void fault(const char* what);

// Ends the kernel with an Error when its threads have ended or wait for something. With EMULATED_CUDA_RACES=report in the environment it is told and
// the kernel goes on, and it says so.
bool race(const std::string& what);

// An operation in which all 32 threads of a warp take part: the last to arrive computes every result. `operation` tells one from another.
template <class Out, class In, class All>
MR_UNSEEN Out warp_operation(int operation, const In& in, All all) {
  static_assert(sizeof(In) <= kOperandBytes && sizeof(Out) <= kOperandBytes);
  const Thread& self = thread();
  Warp& warp = *self.warp;
  const unsigned generation = warp.generation;
  WarpBuffer& buffer = warp.buffers[generation & 1];
  if (warp.arrived > 0 && buffer.operation != operation) fault("threads of a warp call different operations");
  buffer.operation = operation;
  std::memcpy(buffer.in[self.lane], &in, sizeof in);
  if (++warp.arrived == kWarpThreads) {
    In ins[kWarpThreads];
    Out outs[kWarpThreads];
    for (int i = 0; i < kWarpThreads; i++) std::memcpy(&ins[i], buffer.in[i], sizeof(In));
    all(ins, outs);
    for (int i = 0; i < kWarpThreads; i++) std::memcpy(buffer.out[i], &outs[i], sizeof(Out));
    warp.arrived = 0;
    warp.generation++;
  }
  await_warp(warp, generation);
  Out out;
  std::memcpy(&out, buffer.out[self.lane], sizeof out);
  return out;
}

// Runs a kernel's body for every thread of a grid. Blocks are whole warps. An Error when threads wait for each other in vain or a body throws.
// One that stands for a cluster may have shared memory of so many.
void run_grid(Index grid, Index block, size_t shared_bytes, const std::function<void()>& body, int cluster = 1);

}  // namespace millrace::emulator
