// What warpgroups (four warps) do on sm_90: products that run beside their threads (wgmma), barriers in shared memory that count arrivals and have
// a phase (mbarrier), and named barriers of some of a block's warps. Written by the PTX ISA (9.7.15, 9.7.13): matrix descriptors, fragments, and what
// the order of accesses must be.
#pragma once
#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <vector>

namespace millrace::emulator {

inline constexpr int kWarpgroupThreads = 128;

// A matrix in shared memory, as a descriptor has it. Swizzle: 0, 32, 64 or 128 bytes.
struct SharedMatrix {
  uint32_t start, leading_bytes, stride_bytes;
  int swizzle;
};
// Ends the kernel when a field has what no product takes.
SharedMatrix decode_descriptor(uint64_t descriptor);
// Where element (mn, k) of 16 bits lies: mn is the row of A or the column of B; `transposed`: values side by side differ in mn, not in k.
uint32_t element_address(const SharedMatrix& matrix, bool transposed, int mn, int k);

// D (64 x n, float32) = A (64 x 16) times B (16 x n), and D as it was when `add`.
struct AsyncProduct {
  int n;
  bool bf16, add;
  // A from registers: null: from shared memory.
  const uint32_t* a_registers;
  uint64_t a, b;
  bool b_transposed;
};

// Of a block.
class Warpgroups {
 public:
  // Nothing of it is made before it is used.
  void begin(int threads, size_t shared_bytes);

  // wgmma.fence, mma_async, commit_group, wait_group of the running thread. What `d` holds is no number until the thread has waited for the product's
  // group; what a product reads of shared memory must be there when it begins, and stay until it has ended.
  void fence_products();
  void multiply(float* d, const AsyncProduct& product);
  void commit_products();
  void wait_for_products(int groups);

  // Bytes of shared memory that the running thread has written without the products' knowledge, until it says fence_shared (fence.proxy.async).
  void written(const void* to, size_t bytes);
  void fence_shared();

  void init_gate(void* gate, int count);
  void arrive(void* gate);
  void wait_for_gate(void* gate, int parity);
  bool passed(void* gate, int parity);

  // Waits, or only arrives, at barrier `id`, which `threads` threads complete.
  void barrier(int id, int threads, bool waits);

 private:
  struct Issued;
  struct Group;
  struct OfThread {
    int64_t issued = 0, delivered = 0;
    // How many products were issued when each group was closed.
    std::vector<int64_t> groups;
    bool fenced = false;
    std::vector<uint32_t> unfenced;
  };
  struct NamedBarrier {
    int arrived = 0, threads = 0;
    unsigned generation = 0;
  };

  void make();
  OfThread& self();
  Group& group();
  void begin_product(Issued& product);
  void finish_product(Group& group, Issued& product);

  std::vector<OfThread> threads_;
  std::vector<std::shared_ptr<Group>> groups_;
  // Of each 16 bytes of shared memory: whether products do not know what was written there.
  std::vector<uint8_t> unfenced_;
  NamedBarrier barriers_[16];
  int thread_count_ = 0;
  size_t shared_bytes_ = 0;
  bool made_ = false;
};

// Of the block that runs.
Warpgroups& warpgroups();

// An address in the window of shared memory; those of descriptors.
uint32_t shared_address(const void* at);

}  // namespace millrace::emulator
