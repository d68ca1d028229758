// Which way a product takes, and what is counted of it.
#include <algorithm>
#include <cmath>
#include <vector>

#include "kernels/tiling.h"
#include "products.h"

namespace millrace::test {

TEST(weights_come_from_memory_once_for_2048_rows_and_outputs_fill_the_grid) {
  const cuda::ChipShape chip{132, 227 << 10, true};
  cuda::Product p{};
  p.w.store = cuda::Store::kBf16;
  p.w.tiles = p.w.steps = 256;
  auto bytes = [&](int rows) { return cuda::count_way(p, nullptr, rows, {cuda::Tiling::kPanels, 1, 1}, chip).memory_bytes; };
  CHECK(bytes(2048) == 4096.0 * 8192 * 2 + 2048.0 * (8192 * 2 + 4096 * 4), "%g", bytes(2048));
  CHECK(bytes(2049) - bytes(2048) == 4096.0 * 8192 * 2 + 8192 * 2 + 4096 * 4, "%g", bytes(2049) - bytes(2048));
  // A grid has 65,535 blocks of outputs.
  p.w.tiles = 65536;
  CHECK(!cuda::is_possible(p, nullptr, {cuda::Tiling::kRows8, 8, 1}, chip) && cuda::is_possible(p, nullptr, {cuda::Tiling::kRows8, 4, 1}, chip));
  p.w.tiles = 65536 * cuda::kPanelTiles;
  CHECK(!cuda::is_possible(p, nullptr, {cuda::Tiling::kPanels, 1, 1}, chip));
}

TEST(counts_have_the_factors_of_codes_and_what_it_takes_to_convert_them) {
  const cuda::ChipShape chip{132, 227 << 10, true};
  cuda::Product p{};
  p.w.tiles = 256;
  p.w.steps = p.w.groups = 128;
  auto count = [&](cuda::Store store) {
    p.w.store = store;
    if (store != cuda::Store::kCode4) p.w.groups = 0;
    return cuda::count_way(p, nullptr, 8, cuda::choose_way(p, nullptr, 8, chip), chip);
  };
  const float offset = 0;
  p.w.offsets = &offset;
  // A scale and an offset in float32 for each 32 columns.
  const cuda::WayCount codes = count(cuda::Store::kCode4), wide = count(cuda::Store::kBf16);
  CHECK(codes.memory_bytes == 4096.0 * 4096 / 2 + 4096.0 * 128 * 8 + 8.0 * (4096 * 2 + 4096 * 4), "%g", codes.memory_bytes);
  // Three eighths of the bytes of bf16, but more than half of its time.
  CHECK(codes.us < wide.us && codes.us > 0.5 * wide.us, "%g and %g us", codes.us, wide.us);
}

TEST(tiles_of_experts_have_more_rows_when_experts_do) {
  const cuda::ChipShape chip{132, 227 << 10, true};
  auto products = [](cuda::Store store, int inner, int width) {
    std::vector<cuda::Product> all(3);
    for (size_t i = 0; i < 3; i++) {
      all[i].w.store = store;
      all[i].w.tiles = (i < 2 ? inner : width) / cuda::kTileRows;
      all[i].w.steps = (i < 2 ? width : inner) / cuda::kStepColumns;
    }
    return all;
  };
  struct Layer {
    int experts, active, inner, width;
  };
  for (const Layer& layer : {Layer{8, 2, 14336, 4096}, {128, 8, 768, 2048}}) {
    for (cuda::Store store : {cuda::Store::kBf16, cuda::Store::kCode8, cuda::Store::kCode4}) {
      const std::vector<cuda::Product> all = products(store, layer.inner, layer.width);
      auto tile_rows = [&](int rows) { return cuda::choose_tile_rows(all.data(), 3, {nullptr, nullptr, nullptr, nullptr, layer.experts, rows * layer.active, cuda::kLeastExpertRows}, chip); };
      CHECK(tile_rows(1) == 8 && tile_rows(2048) >= 32, "%d experts: %d rows, %d of 2048", layer.experts, tile_rows(1), tile_rows(2048));
      for (const cuda::Product& p : all) {
        cuda::Experts of{nullptr, nullptr, nullptr, nullptr, layer.experts, 2048 * layer.active, 8};
        const cuda::WayCount before = cuda::count_way(p, &of, of.pairs, cuda::choose_way(p, &of, of.pairs, chip), chip);
        of.tile_rows = tile_rows(2048);
        const cuda::WayCount after = cuda::count_way(p, &of, of.pairs, cuda::choose_way(p, &of, of.pairs, chip), chip);
        CHECK(after.us < 0.6 * before.us && after.crossing_bytes < before.crossing_bytes, "%d experts: %g us, %g bytes, were %g and %g", layer.experts, after.us, after.crossing_bytes, before.us, before.crossing_bytes);
      }
      // Weights that are multiplied in float32 have no wide tiles.
      std::vector<cuda::Product> mixed = all;
      mixed[2].x.f32 = true;
      const int of_both = cuda::choose_tile_rows(mixed.data(), 3, {nullptr, nullptr, nullptr, nullptr, layer.experts, 2048 * layer.active, cuda::kLeastExpertRows}, chip);
      for (const cuda::Product& p : mixed) {
        const cuda::Experts of{nullptr, nullptr, nullptr, nullptr, layer.experts, 2048 * layer.active, of_both};
        CHECK(cuda::is_possible(p, &of, cuda::choose_way(p, &of, of.pairs, chip), chip), "%d rows", of_both);
      }
    }
  }
}

TEST(every_product_has_a_way_that_the_chip_can_launch) {
  for (const cuda::ChipShape chip : {cuda::ChipShape{132, 227 << 10, true}, cuda::ChipShape{108, 163 << 10, false}, cuda::ChipShape{1, 99 << 10, false}}) {
    for (cuda::Store store : {cuda::Store::kF32, cuda::Store::kBf16, cuda::Store::kF16, cuda::Store::kCode8, cuda::Store::kCode4, cuda::Store::kE4m3}) {
      for (bool f32 : {false, true}) {
        if (store == cuda::Store::kF32 && !f32) continue;
        for (int outs : {1, 64, 1000, 4096, 28672, 128256}) {
          for (int columns : {20, 768, 4096, 14336}) {
            for (int rows : {1, 7, 8, 9, 17, 33, 64, 65, 128, 300, 4096}) {
              cuda::Product p{};
              p.w.store = store;
              p.w.rows = outs;
              p.w.tiles = (outs + cuda::kTileRows - 1) / cuda::kTileRows;
              p.w.steps = (columns + cuda::kStepColumns - 1) / cuda::kStepColumns;
              p.x.f32 = f32;
              cuda::Experts experts{nullptr, nullptr, nullptr, nullptr, 8, 2 * rows, cuda::kLeastExpertRows};
              experts.tile_rows = cuda::choose_tile_rows(&p, 1, experts, chip);
              for (const cuda::Experts* of : {static_cast<const cuda::Experts*>(nullptr), static_cast<const cuda::Experts*>(&experts)}) {
                for (int heads : {0, 16}) {
                  if (of && heads > 0) continue;
                  p.heads.count = heads;
                  const cuda::Way way = cuda::choose_way(p, of, rows, chip);
                  const cuda::WayCount count = cuda::count_way(p, of, rows, way, chip);
                  CHECK(cuda::is_possible(p, of, way, chip) && count.shared_bytes <= chip.shared_bytes, "store %d, %d rows: %d bytes", static_cast<int>(store), rows, count.shared_bytes);
                  CHECK(way.sharing == 1 || way.sharing == 2 || way.sharing == 4 || way.sharing == 8);
                  CHECK(count.blocks > 0 && count.blocks < int64_t{1} << 31 && std::isfinite(count.us) && count.us > 0);
                }
              }
            }
          }
        }
      }
    }
  }
}

TEST(products_of_up_to_64_rows_read_weights_once_and_keep_memory_busy) {
  const cuda::ChipShape chip{132, 227 << 10, true};
  for (auto [outs, columns] : {std::pair{4096, 4096}, {6144, 4096}, {28672, 4096}, {4096, 14336}}) {
    for (cuda::Store store : {cuda::Store::kBf16, cuda::Store::kCode4}) {
      for (int rows : {1, 8, 16, 32, 64}) {
        cuda::Product p{};
        p.w.store = store;
        p.w.tiles = outs / cuda::kTileRows;
        p.w.steps = columns / cuda::kStepColumns;
        const cuda::Way way = cuda::choose_way(p, nullptr, rows, chip);
        const cuda::WayCount count = cuda::count_way(p, nullptr, rows, way, chip);
        const double weights = double{1} * outs * columns * (store == cuda::Store::kBf16 ? 2 : 0.5);
        const double row_bytes = static_cast<double>(count.blocks) / way.cluster * rows * columns * 2;
        CHECK(way.cluster > 1 || count.crossing_bytes < 1.1 * (weights + row_bytes), "[%d, %d], %d rows: weights cross more than once", outs, columns, rows);
        // As much as comes in a microsecond: converting codes takes longer than their bytes do.
        CHECK(count.flight_bytes >= std::min(32.0 * 1024, count.memory_bytes / count.us / chip.multiprocessors), "[%d, %d], %d rows: %g bytes under way", outs, columns, rows, count.flight_bytes);
        CHECK(count.blocks >= 96, "[%d, %d], %d rows: %lld blocks", outs, columns, rows, static_cast<long long>(count.blocks));
      }
    }
  }
}

}  // namespace millrace::test
