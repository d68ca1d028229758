// How long the device takes for work, by its own clock.
#pragma once
#include "device.h"

namespace millrace::cuda {

class Stopwatch {
 public:
  Stopwatch() {
    check(cudaEventCreateWithFlags(&from_, cudaEventDefault), "making an event");
    const cudaError_t status = cudaEventCreateWithFlags(&to_, cudaEventDefault);
    if (status != cudaSuccess) cudaEventDestroy(from_);
    check(status, "making an event");
  }
  Stopwatch(const Stopwatch&) = delete;
  Stopwatch& operator=(const Stopwatch&) = delete;
  ~Stopwatch() {
    cudaEventDestroy(from_);
    cudaEventDestroy(to_);
  }

  // Milliseconds between the begin and the end of what `body` gives the stream; waits for it.
  template <class Body>
  double time(Stream& stream, const Body& body) {
    check(cudaEventRecord(from_, stream), "launching kernels");
    body();
    check(cudaEventRecord(to_, stream), "launching kernels");
    stream.synchronize();
    float ms = 0;
    check(cudaEventElapsedTime(&ms, from_, to_), "reading the device's clock");
    return ms;
  }

 private:
  cudaEvent_t from_ = nullptr, to_ = nullptr;
};

}  // namespace millrace::cuda
