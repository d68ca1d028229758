#include "draws.h"

#include <algorithm>
#include <cstdio>
#include <random>
#include <vector>

#include "draw.h"
#include "isa.h"
#include "probes.h"

namespace millrace::bench {

void measure_draws(int isa, int rounds) {
  constexpr int kVocabulary = 49152;
  struct Kind {
    const char* name;
    mr_draw how;
  };
  const Kind kinds[] = {{"greedy", {0, 0, 0, 0, 1, 0, -1}},
                        {"temperature 1", {1, 0.5, 0, 0, 1, 0, -1}},
                        {"top-p 0.95", {1, 0.5, 0, 0, 0.95f, 0, -1}},
                        {"top-k 50, top-p 0.9", {1 / 0.7, 0.5, 0, 50, 0.9f, 0, -1}},
                        {"min-p 0.05", {1, 0.5, 0, 0, 1, 0.05f, -1}}};
  // Most logits near zero, some that stand out.
  std::mt19937 random(1);
  std::normal_distribution<float> normal(0, 2.5f);
  std::vector<float> logits(kVocabulary);
  for (float& x : logits) x = normal(random);
  for (int i = 0; i < 30; i++) logits[random() % kVocabulary] = 8 + static_cast<float>(random() % 1000) / 125;
  const Kernels& kernels = kernels_of(isa);
  Drawer drawer;
  for (const Kind& kind : kinds) {
    double best = 1e9;
    int id = 0;
    for (int i = 0; i < 100 * rounds; i++) {
      double began = now();
      id = drawer.draw(kernels, logits.data(), kVocabulary, kind.how);
      best = std::min(best, now() - began);
    }
    std::printf("{\"what\":\"draw\",\"isa\":\"%s\",\"kind\":\"%s\",\"vocabulary\":%d,\"us\":%.1f,\"id\":%d}\n", kernels.name, kind.name, kVocabulary,
                best * 1e6, id);
  }
}

}  // namespace millrace::bench
