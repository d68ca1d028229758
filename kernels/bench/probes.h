// What this machine gives: read bandwidth and peaks, measured in the same run as what they are compared with.
#pragma once

namespace millrace::bench {

// GB/s that the threads read together.
double read_bandwidth(int threads);

// Operations per second of one thread, two for a product and its sum; 0 where the processor lacks the instruction.
double int8_peak();
double bf16_peak();
double f32_peak();

// Speed of two threads that compute over that of one: about 2 on a quiet machine.
double scaling();

double now();

}  // namespace millrace::bench
