#include "route.h"

#include <algorithm>
#include <cmath>
#include <vector>

namespace millrace {

void choose_experts(const Route& route, float* p, int32_t* ids, float* weights) {
  const int n = route.experts;
  float most = *std::max_element(p, p + n);
  float sum = 0;
  for (int e = 0; e < n; e++) sum += p[e] = std::exp(p[e] - most);
  for (int e = 0; e < n; e++) p[e] /= sum;
  std::vector<bool> open(static_cast<size_t>(n), route.groups <= 1);
  if (route.groups > 1) {
    int each = n / route.groups;
    std::vector<bool> kept(static_cast<size_t>(route.groups));
    for (int i = 0; i < route.kept; i++) {
      int best = -1;
      float value = 0;
      for (int g = 0; g < route.groups; g++) {
        if (kept[static_cast<size_t>(g)]) continue;
        float top = *std::max_element(p + g * each, p + (g + 1) * each);
        if (best < 0 || top > value) {
          best = g;
          value = top;
        }
      }
      kept[static_cast<size_t>(best)] = true;
    }
    for (int e = 0; e < n; e++) open[static_cast<size_t>(e)] = kept[static_cast<size_t>(e / each)];
  }
  for (int k = 0; k < route.active; k++) {
    int best = -1;
    for (int e = 0; e < n; e++) {
      if (open[static_cast<size_t>(e)] && (best < 0 || p[e] > p[best])) best = e;
    }
    open[static_cast<size_t>(best)] = false;
    ids[k] = best;
  }
  std::sort(ids, ids + route.active);
  float chosen = 0;
  for (int k = 0; k < route.active; k++) chosen += weights[k] = p[ids[k]];
  for (int k = 0; k < route.active; k++) weights[k] = (route.renormalise ? weights[k] / chosen : weights[k]) * route.scale;
}

}  // namespace millrace
