// From which number of rows on one way to multiply beats another.
#pragma once
#include <string>
#include <vector>

namespace millrace::cuda {

// What was measured of one number of rows, in milliseconds.
struct Sides {
  int rows;
  double ours, other;
};

// The least number of rows, of those measured (ascending), from which on the other is faster; 0: it is not at the most.
inline int crossing(const std::vector<Sides>& all) {
  int from = 0;
  for (const Sides& s : all) {
    if (s.other >= s.ours) {
      from = 0;
    } else if (from == 0) {
      from = s.rows;
    }
  }
  return from;
}

// For people.
inline std::string crossing_text(const std::vector<Sides>& all) {
  if (all.empty()) return "not measured";
  const int from = crossing(all);
  return from == 0 ? "never, up to " + std::to_string(all.back().rows) + " rows" : "from " + std::to_string(from) + " rows on";
}

}  // namespace millrace::cuda
