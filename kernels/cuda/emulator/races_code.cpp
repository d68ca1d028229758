// What the compiler calls for every access when it is told -fsanitize=thread, and the lines of code that such calls come from.
#include "races.h"

#if MR_RACES

#include <dlfcn.h>

#include <cstdio>
#include <cstring>

namespace millrace::emulator::races {

// By addr2line, which comes with the compiler.
std::string place_of(const void* where) {
  Dl_info info{};
  // The call before the place that it returns to.
  const auto* call = static_cast<const uint8_t*>(where) - 1;
  if (!dladdr(call, &info) || !info.dli_fname) return "an unknown place";
  char command[1024];
  std::snprintf(command, sizeof command, "addr2line -i -e '%s' %#zx 2> /dev/null", info.dli_fname, static_cast<size_t>(call - static_cast<const uint8_t*>(info.dli_fbase)));
  std::string text;
  if (std::FILE* lines = popen(command, "r")) {
    char line[512];
    while (std::fgets(line, sizeof line, lines)) {
      line[std::strcspn(line, " \n")] = 0;
      if (std::strncmp(line, "/usr/", 5) == 0) continue;
      const char* file = std::strrchr(line, '/');
      text += (text.empty() ? "" : " in ") + std::string(file ? file + 1 : line);
    }
    pclose(lines);
  }
  if (!text.empty()) return text;
  std::snprintf(command, sizeof command, "%s+%#zx", info.dli_fname, static_cast<size_t>(call - static_cast<const uint8_t*>(info.dli_fbase)));
  return command;
}

}  // namespace millrace::emulator::races

using millrace::emulator::races::Kind;
using millrace::emulator::races::reported;

extern "C" {

void __tsan_init() {}
void __tsan_func_entry(void*) {}
void __tsan_func_exit() {}

#define MR_ACCESS(name, bytes, kind) \
  void __tsan_##name(const void* at) { reported(at, bytes, Kind::kind, __builtin_return_address(0)); }
#define MR_ACCESSES(bytes)                            \
  MR_ACCESS(read##bytes, bytes, kRead)                \
  MR_ACCESS(write##bytes, bytes, kWrite)              \
  MR_ACCESS(unaligned_read##bytes, bytes, kRead)      \
  MR_ACCESS(unaligned_write##bytes, bytes, kWrite)    \
  MR_ACCESS(volatile_read##bytes, bytes, kRead)       \
  MR_ACCESS(volatile_write##bytes, bytes, kWrite)
MR_ACCESSES(1)
MR_ACCESSES(2)
MR_ACCESSES(4)
MR_ACCESSES(8)
MR_ACCESSES(16)

void __tsan_read_range(const void* at, size_t bytes) { reported(at, bytes, Kind::kRead, __builtin_return_address(0)); }
void __tsan_write_range(const void* at, size_t bytes) { reported(at, bytes, Kind::kWrite, __builtin_return_address(0)); }
void __tsan_vptr_update(void**, void*) {}
void __tsan_vptr_read(void**) {}

// clang calls these for copies.
void* __tsan_memcpy(void* to, const void* from, size_t bytes) {
  reported(from, bytes, Kind::kRead, __builtin_return_address(0));
  reported(to, bytes, Kind::kWrite, __builtin_return_address(0));
  return std::memcpy(to, from, bytes);
}
void* __tsan_memmove(void* to, const void* from, size_t bytes) {
  reported(from, bytes, Kind::kRead, __builtin_return_address(0));
  reported(to, bytes, Kind::kWrite, __builtin_return_address(0));
  return std::memmove(to, from, bytes);
}
void* __tsan_memset(void* to, int value, size_t bytes) {
  reported(to, bytes, Kind::kWrite, __builtin_return_address(0));
  return std::memset(to, value, bytes);
}

// Atomics of the host, with the strongest order.
#define MR_UPDATE(bits, name) \
  uint##bits##_t __tsan_atomic##bits##_##name(volatile void* at, uint##bits##_t value, int) { return __atomic_##name(static_cast<volatile uint##bits##_t*>(at), value, __ATOMIC_SEQ_CST); }
#define MR_COMPARE(bits, name)                                                                                                 \
  int __tsan_atomic##bits##_compare_exchange_##name(volatile void* at, void* expected, uint##bits##_t value, int, int) {       \
    return __atomic_compare_exchange_n(static_cast<volatile uint##bits##_t*>(at), static_cast<uint##bits##_t*>(expected), value, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST); \
  }
#define MR_ATOMICS(bits)                                                                                                                                                        \
  uint##bits##_t __tsan_atomic##bits##_load(const volatile void* at, int) { return __atomic_load_n(static_cast<const volatile uint##bits##_t*>(at), __ATOMIC_SEQ_CST); }          \
  void __tsan_atomic##bits##_store(volatile void* at, uint##bits##_t value, int) { __atomic_store_n(static_cast<volatile uint##bits##_t*>(at), value, __ATOMIC_SEQ_CST); }        \
  uint##bits##_t __tsan_atomic##bits##_exchange(volatile void* at, uint##bits##_t value, int) { return __atomic_exchange_n(static_cast<volatile uint##bits##_t*>(at), value, __ATOMIC_SEQ_CST); } \
  MR_UPDATE(bits, fetch_add)                                                                                                                                                     \
  MR_UPDATE(bits, fetch_sub)                                                                                                                                                     \
  MR_UPDATE(bits, fetch_and)                                                                                                                                                     \
  MR_UPDATE(bits, fetch_or)                                                                                                                                                      \
  MR_UPDATE(bits, fetch_xor)                                                                                                                                                     \
  MR_COMPARE(bits, strong)                                                                                                                                                       \
  MR_COMPARE(bits, weak)
MR_ATOMICS(8)
MR_ATOMICS(16)
MR_ATOMICS(32)
MR_ATOMICS(64)
void __tsan_atomic_thread_fence(int) { __atomic_thread_fence(__ATOMIC_SEQ_CST); }
void __tsan_atomic_signal_fence(int) { __atomic_signal_fence(__ATOMIC_SEQ_CST); }

}  // extern "C"

#endif
