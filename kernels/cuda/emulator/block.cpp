#include "block.h"

#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>
#include <vector>

#include "error.h"
#include "fibers.h"
#include "warpgroup.h"

namespace millrace::emulator {
namespace {

constexpr unsigned kMostThreads = 1024;
constexpr int kPoison = 0xff;
// What a chip gives a block at most, sm_90.
constexpr size_t kMostShared = 227 << 10;

struct Lane {
  Thread thread;
  Fiber fiber;
  Lane* before = nullptr;
  Lane* after = nullptr;
};

// A block that runs, and the stacks and buffers that serve one block after the other.
class Block {
 public:
  void run(Index grid, Index size, size_t shared_bytes, const std::function<void()>& body) {
    const unsigned threads = size.x * size.y * size.z;
    while (lanes_.size() < threads) lanes_.push_back(std::make_unique<Lane>());
    while (warps_.size() < threads / kWarpThreads) warps_.push_back(std::make_unique<Warp>());
    grid_ = grid;
    size_ = size;
    body_ = &body;
    for (unsigned z = 0; z < grid.z; z++) {
      for (unsigned y = 0; y < grid.y; y++) {
        for (unsigned x = 0; x < grid.x; x++) run_one({x, y, z}, threads, shared_bytes);
      }
    }
  }

  Lane& current() { return *current_; }
  bool is_shared(const void* at, size_t bytes) const {
    const auto* begin = static_cast<const uint8_t*>(at);
    return begin >= shared_.get() && begin + bytes <= shared_.get() + shared_bytes_;
  }
  const Index& grid() const { return grid_; }
  const Index& size() const { return size_; }
  uint8_t* shared() { return shared_.get(); }
  Warpgroups& warpgroups() { return warpgroups_; }

  void barrier() {
    const unsigned generation = generation_;
    waiting_++;
    idle_ = 0;
    release();
    await([&] { return generation_ != generation; });
  }

  template <class Ready>
  void await(const Ready& ready) {
    while (!ready()) {
      if (failed_) throw Stopped{};
      if (++idle_ > 2 * alive_ + 2) fail_with("its threads wait for each other in vain");
      change_to(current_->after);
    }
    idle_ = 0;
  }

  [[noreturn]] void fail_with(const std::string& what) {
    note(what);
    throw Stopped{};
  }

  void note(const std::string& what) {
    if (!failed_) error_ = what;
    failed_ = true;
  }

 private:
  struct Stopped {};

  void run_one(Index index, unsigned threads, size_t shared_bytes) {
    const races::Quiet quiet;
    // Nothing may be expected of what a block before left there. Its end is the end of the allocation, so that the address sanitizer sees it.
    shared_ = std::make_unique_for_overwrite<uint8_t[]>(shared_bytes > 0 ? shared_bytes : 1);
    std::memset(shared_.get(), kPoison, shared_bytes);
    shared_bytes_ = shared_bytes;
    alive_ = static_cast<int>(threads);
    waiting_ = idle_ = 0;
    failed_ = false;
    for (unsigned i = 0; i < threads / kWarpThreads; i++) warps_[i]->arrived = 0;
    warpgroups_.begin(static_cast<int>(threads), shared_bytes);
    for (unsigned i = 0; i < threads; i++) {
      Lane& lane = *lanes_[i];
      lane.thread = {{i % size_.x, i / size_.x % size_.y, i / size_.x / size_.y}, index, static_cast<int>(i), static_cast<int>(i % kWarpThreads), warps_[i / kWarpThreads].get(), {}, 0};
      lane.after = lanes_[(i + 1) % threads].get();
      lane.before = lanes_[(i + threads - 1) % threads].get();
      lane.fiber.start(&Block::enter);
    }
    main_.forget();
    if (!watch_) watch_ = races::watch();
    races::begin(watch_.get(), index.x + grid_.x * (index.y + grid_.y * index.z), static_cast<int>(threads), shared_.get(), shared_bytes);
    const Block* outer = running_;
    running_ = this;
    runs(lanes_[0].get());
    Fiber::change(main_, current_->fiber);
    running_ = outer;
    if (outer) outer->runs_again();
    if (!outer) races::runs(nullptr, nullptr, nullptr);
    if (failed_) fail(MR_INTERNAL, "a kernel failed in block (%u, %u, %u): %s", index.x, index.y, index.z, error_.c_str());
  }

  [[noreturn]] static void enter();

  [[noreturn]] void live() {
    Fiber::entered(current_->fiber, main_);
    try {
      (*body_)();
    } catch (const Stopped&) {
    } catch (const Error& e) {
      if (!failed_) error_ = e.message;
      failed_ = true;
    }
    Lane* self = current_;
    alive_--;
    idle_ = 0;
    self->before->after = self->after;
    self->after->before = self->before;
    release();
    Fiber& next = alive_ > 0 ? self->after->fiber : main_;
    runs(self->after);
    Fiber::leave(self->fiber, next);
  }

  void release() {
    if (waiting_ > 0 && waiting_ == alive_) {
      waiting_ = 0;
      generation_++;
      races::block_met();
    }
  }

  void change_to(Lane* next) {
    if (next == current_) return;
    Lane* self = current_;
    runs(next);
    Fiber::change(self->fiber, next->fiber);
  }

  void runs(Lane* lane) {
    current_ = lane;
    runs_again();
  }
  void runs_again() const { races::runs(watch_.get(), &current_->thread, &current_->fiber); }

  // The innermost that runs on the host's thread.
  static thread_local const Block* running_;

  std::vector<std::unique_ptr<Lane>> lanes_;
  std::vector<std::unique_ptr<Warp>> warps_;
  std::unique_ptr<uint8_t[]> shared_;
  size_t shared_bytes_ = 0;
  Fiber main_;
  Lane* current_ = nullptr;
  Index grid_, size_;
  const std::function<void()>* body_ = nullptr;
  int alive_ = 0, waiting_ = 0, idle_ = 0;
  unsigned generation_ = 0;
  bool failed_ = false;
  Warpgroups warpgroups_;
  std::string error_;
  races::WatchPointer watch_;
};

thread_local const Block* Block::running_ = nullptr;

// A kernel that waits for another runs that one's blocks within its own.
thread_local std::vector<std::unique_ptr<Block>> blocks_of_thread;
thread_local size_t depth = 0;

Block& block() { return *blocks_of_thread[depth - 1]; }

void Block::enter() { block().live(); }

}  // namespace

const Thread& thread() { return block().current().thread; }
Index thread_index() { return thread().index; }
Index block_index() { return thread().block; }
Index grid_size() { return block().grid(); }
Index block_size() { return block().size(); }
uint8_t* shared_memory() { return block().shared(); }
void block_barrier() { block().barrier(); }
void await_warp(Warp& warp, unsigned generation) {
  block().await([&] { return warp.generation != generation; });
}
void await_until(const std::function<bool()>& ready) { block().await(ready); }
Warpgroups& warpgroups() { return block().warpgroups(); }

uint32_t shared_address(const void* at) {
  if (!block().is_shared(at, 0)) fault("an address of what is no shared memory");
  return static_cast<uint32_t>(static_cast<const uint8_t*>(at) - block().shared());
}

void fault(const char* what) { block().fail_with(what); }

bool race(const std::string& what) {
  static const bool told = [] {
    const char* text = std::getenv("EMULATED_CUDA_RACES");
    return text && std::strcmp(text, "report") == 0;
  }();
  if (told) {
    std::fprintf(stderr, "%s\n", what.c_str());
  } else {
    block().note(what);
  }
  return told;
}

void copy_async(void* to, const void* from, size_t bytes, bool there) {
  if (!block().is_shared(to, bytes)) fault("a copy to what is no shared memory");
  if (reinterpret_cast<uintptr_t>(to) % bytes != 0 || (there && reinterpret_cast<uintptr_t>(from) % bytes != 0)) fault("a copy that is not aligned");
  const void* where = __builtin_return_address(0);
  const races::Quiet quiet;
  races::touch(to, bytes, races::Kind::kWrite, where);
  if (there) races::touch(from, bytes, races::Kind::kRead, where);
  std::memset(to, kPoison, bytes);
  Thread& self = block().current().thread;
  self.copies.push_back({static_cast<uint8_t*>(to), there ? static_cast<const uint8_t*>(from) : nullptr, bytes, self.copy_groups, where});
}

void close_copies() { block().current().thread.copy_groups++; }

void wait_for_copies(int groups) {
  const races::Quiet quiet;
  Thread& self = block().current().thread;
  size_t done = 0;
  for (; done < self.copies.size() && self.copies[done].group < self.copy_groups - groups; done++) {
    const Copy& copy = self.copies[done];
    races::touch(copy.to, copy.bytes, races::Kind::kWrite, copy.where);
    if (copy.from) {
      races::touch(copy.from, copy.bytes, races::Kind::kRead, copy.where);
      std::memcpy(copy.to, copy.from, copy.bytes);
    } else {
      std::memset(copy.to, 0, copy.bytes);
    }
    block().warpgroups().written(copy.to, copy.bytes);
  }
  self.copies.erase(self.copies.begin(), self.copies.begin() + static_cast<std::ptrdiff_t>(done));
}

void run_grid(Index grid, Index size, size_t shared_bytes, const std::function<void()>& body, int cluster) {
  const uint64_t threads = uint64_t{size.x} * size.y * size.z;
  if (threads == 0 || threads > kMostThreads || threads % kWarpThreads != 0) fail(MR_INTERNAL, "a block of %llu threads", static_cast<unsigned long long>(threads));
  if (grid.x == 0 || grid.y == 0 || grid.z == 0 || grid.y > 65535 || grid.z > 65535) fail(MR_INTERNAL, "a grid of %u, %u, %u blocks", grid.x, grid.y, grid.z);
  if (shared_bytes > kMostShared * static_cast<size_t>(cluster)) fail(MR_INTERNAL, "a block with %zu bytes of shared memory", shared_bytes);
  if (blocks_of_thread.size() == depth) blocks_of_thread.push_back(std::make_unique<Block>());
  depth++;
  try {
    block().run(grid, size, shared_bytes, body);
  } catch (...) {
    depth--;
    throw;
  }
  depth--;
}

}  // namespace millrace::emulator
