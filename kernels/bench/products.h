// One product against the machine's ceilings.
#pragma once
#include <vector>

namespace millrace::bench {

// Prints a line of JSON for each number of rows, with a matrix that no cache holds, and before them one for 24 rows and a few outputs in
// cache (the micro-kernel by itself, "what":"kernel").
void measure_products(int type, int isa, int threads, int rounds, std::vector<int> rows);

}  // namespace millrace::bench
