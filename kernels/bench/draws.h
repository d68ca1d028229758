// What drawing an id costs.
#pragma once

namespace millrace::bench {

// One row of 49,152 logits on one thread; the best of many times.
void measure_draws(int isa, int rounds);

}  // namespace millrace::bench
