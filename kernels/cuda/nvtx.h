// Ranges on a timeline of NVIDIA's tools (NVTX 3), with none of their code in here: a tool names its library in NVTX_INJECTION64_PATH, as `nsys profile` does,
// and that library fills in functions of ours.
#pragma once
#include <cstdint>

#include "program.h"

namespace millrace::cuda {

// Reads MILLRACE_NVTX (an Error when it is malformed), and loads the tool's library when there is one. Does so once.
void start_nvtx();

// MILLRACE_NVTX=ops: no step is replayed as a graph, so that each op has a range of its own.
bool nvtx_wants_ops();

// Hands the ranges to that library from now on; false when it is no tool. For tests: not while a model runs.
bool attach_nvtx(const char* library);
void detach_nvtx();

// Its life on this thread, in the domain "millrace"; costs a branch while no tool listens. The rows are its payload.
class Range {
 public:
  Range(const char* name, int rows);
  Range(OpCode op, int rows);
  Range(const Range&) = delete;
  Range& operator=(const Range&) = delete;
  ~Range();

 private:
  bool open_;
};

}  // namespace millrace::cuda
