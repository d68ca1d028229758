// What the files of the emulated runtime share.
#pragma once
#include <functional>

#include "cuda.h"

namespace millrace::emulator {

// Keeps what went wrong for cudaGetLastError, and gives it back.
cudaError_t noted(cudaError_t status);

// Whether the device still does anything: after a fault every call fails.
cudaError_t usable();

// The same for calls that a thread must not make while it captures a stream: they spoil the capture.
cudaError_t usable_outside_capture();

// The stream that this thread captures; null: none.
Stream*& capturing();

// Whether memory of the host is pinned, and memory the device's; all of it.
bool is_pinned(const void* memory, size_t bytes);
bool is_of_device(const void* memory, size_t bytes);
// Whether some of it is the device's.
bool touches_device(const void* memory, size_t bytes);

// Whether streams of this thread were given what they have not done.
bool work_waits();

// Runs what a fault ends; then runs what still waits.
void guarded(const std::function<void()>& body);
void finish();

}  // namespace millrace::emulator
