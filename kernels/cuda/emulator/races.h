// Finds races of kernels: two threads that touch the same byte, one of them to write, with nothing between that CUDA lets order them. A build with
// MILLRACE_RACES has the compiler report every access of kernels (-fsanitize=thread); what is made of the reports is here and not the compiler's
// own runtime, since CUDA's order is another than that of the process's threads. Without that build all of this is nothing.
//
// Threads of a block have vector clocks (Mattern, 1989; FastTrack, Flanagan and Freund, 2009). In order are: what stands before a barrier of the
// block, of a warp (__syncwarp), a named one or one in shared memory, and what stands after it for those who waited there. Shuffles, votes and
// atomics order nothing; two atomics do not race. Blocks of a launch have no order. A launch comes after all before it, but for one that begins
// early: until its thread has waited it runs beside the launch before it, and those that this one runs beside.
#pragma once
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#ifndef MR_RACES
#define MR_RACES 0
#endif

// For what stands in for CUDA itself: its accesses are not the kernel's.
#if MR_RACES
#define MR_UNSEEN __attribute__((no_sanitize("thread")))
#else
#define MR_UNSEEN
#endif

namespace millrace::emulator {

struct Thread;
class Fiber;

namespace races {

enum class Kind : uint8_t { kRead, kWrite, kAtomic };

// What a block, or one after the other, is watched by.
class Watch;
struct Drop {
  void operator()(Watch* watch) const;
};
using WatchPointer = std::unique_ptr<Watch, Drop>;

#if MR_RACES

WatchPointer watch();

// A block begins: its number in the grid. `runs` is called with each change of the running thread; null: none of the block's.
void begin(Watch* watch, uint32_t block, int threads, const uint8_t* shared, size_t shared_bytes);
void runs(Watch* watch, const Thread* thread, const Fiber* fiber);

// While one lives, what the compiler reports of the running thread is not its own: the emulator works for it. To be said anew after another thread has run.
class Quiet {
 public:
  Quiet();
  ~Quiet();
  Quiet(const Quiet&) = delete;
  Quiet& operator=(const Quiet&) = delete;

 private:
  bool before_;
};

// The running thread touches memory, as the emulator says and as the compiler does; `where` is a place of code.
void touch(const void* at, size_t bytes, Kind kind, const void* where);
void reported(const void* at, size_t bytes, Kind kind, const void* where);

// All threads of the block that have not ended, or of the running thread's warp, have met.
void block_met();
void warp_met();

// Other barriers: what a thread has done is given to the barrier, all that was given is there for who waits once it is complete, and is taken.
// `keeps`: so is what was given before.
void release(const void* barrier);
void complete(const void* barrier, bool keeps);
void acquire(const void* barrier);

// A launch, to be called in the order of launches; it runs it. Nobody is beside those before after `ended`.
std::function<void()> in_order(std::function<void()> run, bool early);
void ended();
// The running thread has waited for the launches before.
void waited();

// A place of code as text.
std::string place_of(const void* where);

#else

inline void Drop::operator()(Watch*) const {}
inline WatchPointer watch() { return nullptr; }
inline void begin(Watch*, uint32_t, int, const uint8_t*, size_t) {}
inline void runs(Watch*, const Thread*, const Fiber*) {}
struct Quiet {
  Quiet() {}
};
inline void touch(const void*, size_t, Kind, const void*) {}
inline void block_met() {}
inline void warp_met() {}
inline void release(const void*) {}
inline void complete(const void*, bool) {}
inline void acquire(const void*) {}
inline std::function<void()> in_order(std::function<void()> run, bool) { return run; }
inline void ended() {}
inline void waited() {}

#endif

}  // namespace races
}  // namespace millrace::emulator
