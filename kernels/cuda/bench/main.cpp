// Measures the CUDA kernels beside what the device can do at best, in one run. A line for each: name, milliseconds, rate, unit, and
// the share of the copy rate where memory is what counts. With `small` sizes are tiny, to see that it runs under the emulator. Two measure nothing: `device`
// says what the device is (2: there is none that can be used), `library FILE` whether that can be loaded.
#include <dlfcn.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <functional>
#include <memory>
#include <random>
#include <string>
#include <tuple>
#include <vector>

#include "crossing.h"
#include "decode.h"
#include "device.h"
#include "error.h"
#include "kernels/launches.h"
#include "kernels/sampling.h"
#include "library.h"
#include "model.h"
#include "needs.h"
#include "step_tasks.h"
#include "stopwatch.h"

namespace millrace::cuda {
namespace {

class Bench {
 public:
  explicit Bench(bool small) : small_(small), chips_(device_info().chips) {
    std::mt19937 random(1);
    // Small numbers in bf16 and in float32, and codes without a pattern; no byte is what fp8 has for no number.
    const auto byte = [&] {
      const unsigned bits = random() & 255;
      return (bits & 127) == 127 ? bits - 1 : bits;
    };
    const size_t size = small ? 1 << 12 : 1 << 22;
    for (size_t i = 0; i < size; i++) {
      noise_.push_back(static_cast<uint16_t>((random() & 0x8000) | 0x3c00 | byte()));
      codes_.push_back(static_cast<uint16_t>(byte() << 8 | byte()));
    }
    std::normal_distribution<float> normal(0, 0.01f);
    floats_.resize(size / 2);
    for (float& f : floats_) f = normal(random);
  }

  void run() {
    copy();
    link();
    for (const DecodeShape& shape : small_ ? std::vector{kDecodeTiny} : std::vector{kDecode1B, kDecode8B}) {
      for (int sequences : {1, small_ ? 3 : 64}) decode(shape, sequences);
    }
    try {
      library_ = std::make_unique<Library>();
    } catch (const Error& e) {
      note("no products by cuBLASLt", e.message);
    }
    for (auto [rows, columns] : {std::pair{4096, 4096}, {14336, 4096}, {4096, 14336}}) {
      for (Store store : {Store::kBf16, Store::kE4m3, Store::kCode8, Store::kCode4}) product(store, small_ ? 64 : rows, small_ ? 64 : columns);
      if (small_) break;
    }
    for (int tile : tiles()) attention("decode of 32 sequences of 8192 tokens", 32, 1, small_ ? 40 : 8192, true, tile);
    for (auto [name, temperature, top_k, top_p] : {std::tuple{"greedy", 0.0f, 0, 1.0f}, {"temperature", 1.0f, 0, 1.0f}, {"top-p 0.95", 1.0f, 0, 0.95f}, {"top-k 50, top-p 0.9", 0.7f, 50, 0.9f}}) {
      choose(name, temperature, top_k, top_p);
    }
    for (int tile : tiles()) {
      attention("prefill of 4096 tokens", 1, small_ ? 40 : 4096, small_ ? 40 : 4096, false, tile);
      attention("prefill of 16384 tokens", 1, small_ ? 40 : 16384, small_ ? 40 : 16384, false, tile);
      attention("prefill of 512 tokens behind 7680", 1, small_ ? 20 : 512, small_ ? 60 : 8192, false, tile);
    }
  }

 private:
  // Tasks of warps, and of warpgroups where the chip has them.
  static std::vector<int> tiles() {
    const DeviceInfo device = device_info();
    return device.major == 9 && device.minor == 0 ? std::vector{kBlockTile, kWarpgroupTile} : std::vector{kBlockTile};
  }

  // Milliseconds of one call, of so many that they take more than one, one behind the other in a graph, as in a step: neither what the host takes for a launch nor
  // how long it waits is in them. The median of several times.
  double time(const std::function<void()>& body) {
    body();
    const double about = watch_.time(stream_, body);
    int calls = small_ ? 2 : static_cast<int>(std::clamp(1.5 / about, 1.0, 500.0));
    Graph graph = several(body, calls);
    for (double all = replay(graph); !small_ && all < 1 && calls < 2000; all = replay(graph)) {
      calls *= 2;
      graph = several(body, calls);
    }
    std::vector<double> all;
    for (int i = 0; i < (small_ ? 1 : 15); i++) all.push_back(replay(graph) / calls);
    std::sort(all.begin(), all.end());
    return all[all.size() / 2];
  }

  Graph several(const std::function<void()>& body, int calls) {
    return Graph::capture(stream_, [&] {
      for (int call = 0; call < calls; call++) body();
    });
  }

  double replay(const Graph& graph) {
    return watch_.time(stream_, [&] { graph.launch(stream_); });
  }

  void line(const std::string& name, double ms, double rate, const char* unit, bool memory) {
    std::printf("%s\t%.4f\t%.1f\t%s\t%s\n", name.c_str(), ms, rate, unit, memory && copy_rate_ > 0 ? std::to_string(static_cast<int>(rate / copy_rate_ * 100)).append(" %").c_str() : "");
    std::fflush(stdout);
  }

  template <class T>
  Memory filled(int64_t bytes, const std::vector<T>& with) {
    Memory memory(bytes, "a benchmark");
    const auto piece = static_cast<int64_t>(with.size() * sizeof(T));
    for (int64_t at = 0; at < bytes; at += piece) stream_.upload(memory.data() + at, with.data(), std::min(piece, bytes - at));
    stream_.synchronize();
    return memory;
  }

  Memory noise(int64_t bytes) { return filled(bytes, noise_); }

  Memory zeros(int64_t bytes) {
    Memory memory(bytes, "a benchmark");
    stream_.clear(memory.data(), bytes);
    return memory;
  }

  Memory ints(const std::vector<int32_t>& values) {
    Memory memory(static_cast<int64_t>(values.size()) * 4, "a benchmark");
    stream_.upload(memory.data(), values.data(), memory.size());
    stream_.synchronize();
    return memory;
  }

  void copy() {
    const int64_t bytes = small_ ? 1 << 16 : int64_t{1} << 30;
    Memory from = noise(bytes), to = zeros(bytes);
    double ms = time([&] { check(cudaMemcpyAsync(to.data(), from.data(), static_cast<size_t>(bytes), cudaMemcpyDeviceToDevice, stream_), "copying"); });
    copy_rate_ = 2 * static_cast<double>(bytes) / ms / 1e6;
    line("copy within the device", ms, copy_rate_, "GB/s", true);
  }

  // What swaps go by.
  void link() {
    const int64_t bytes = small_ ? 1 << 16 : int64_t{64} << 20;
    Memory device = zeros(bytes);
    PinnedMemory host(bytes);
    double ms = time([&] { stream_.download(host.data(), device.data(), bytes); });
    line("copy to the host, pinned", ms, static_cast<double>(bytes) / ms / 1e6, "GB/s", false);
    ms = time([&] { stream_.upload(device.data(), host.data(), bytes); });
    line("copy from the host, pinned", ms, static_cast<double>(bytes) / ms / 1e6, "GB/s", false);
  }

  // A whole model, behind 128 tokens of each sequence; and what a step costs the host, from mr_submit to its return.
  void decode(const DecodeShape& shape, int sequences) {
    const std::string what = std::string("decode of ") + shape.name + " in bf16, " + std::to_string(sequences) + " at once";
    try {
      const int steps = small_ ? 3 : 100;
      const DecodeTime time = decode_time(shape, sequences, small_ ? 20 : 128, steps);
      line(what + ", " + std::to_string(std::lround(sequences / time.ms * 1e3)) + " tokens/s" + (time.graphs < steps ? ", not as a graph" : ""), time.ms, time.bytes / time.ms / 1e6, "GB/s", true);
      line("host, a graph step of " + std::to_string(time.launches) + " launches, " + what, time.submit_us / 1e3, time.submit_us, "us", false);
    } catch (const Error& e) {
      if (e.status != MR_MEMORY) throw;
      note(what, "not run: " + e.message);
    }
  }

  // What is a text, in the column of rates.
  static void note(const std::string& name, const std::string& text) { std::printf("%s\t\t%s\t\t\n", name.c_str(), text.c_str()); }

  // Rows at once, about, and for people.
  struct TilingName {
    Tiling tiling;
    int rows;
    const char* name;
  };
  static constexpr TilingName kTilings[] = {{Tiling::kRows8, 8, "8 at once"},
                                            {Tiling::kRows16, 16, "16 at once"},
                                            {Tiling::kWide8, 8, "8 at once, wide"},
                                            {Tiling::kWide16, 16, "16 at once, wide"},
                                            {Tiling::kWide32, 32, "32 at once, wide"},
                                            {Tiling::kRows64, 64, "64 at once"},
                                            {Tiling::kPanels, 128, "panels"}};

  void product(Store store, int rows, int columns) {
    WeightView w{};
    w.store = store;
    w.rows = rows;
    w.columns = columns;
    w.tiles = rounded_up(rows, kTileRows) / kTileRows;
    w.steps = rounded_up(columns, kStepColumns) / kStepColumns;
    const int64_t value_bytes = int64_t{w.tiles} * w.steps * kWarp * lane_bytes(store);
    const bool fp8 = store == Store::kE4m3, codes = fp8 || store == Store::kCode8 || store == Store::kCode4;
    w.group_columns = fp8 ? columns : std::min(128, columns);
    w.groups = columns / w.group_columns;
    const int64_t factor_bytes = codes ? int64_t{w.tiles} * kTileRows * w.groups * 4 : 0;
    // So many of the weight, factors and all, that none is left in L2 from the time before, as in a model.
    const auto copies = static_cast<int>(small_ ? 1 : std::max<int64_t>(1, (int64_t{256} << 20) / value_bytes));
    const bool has_offsets = codes && !fp8;
    Memory values = filled(value_bytes * copies, codes ? codes_ : noise_), scales = filled(factor_bytes * copies, floats_);
    Memory offsets = filled(has_offsets ? factor_bytes * copies : 0, floats_);
    w.values = values.data();
    w.scales = scales.data();
    w.offsets = offsets.data();
    // Rows that the library's are filled up to are there too.
    const int most = small_ ? 16 : 4096, room = std::max(most, kLibraryRowStep);
    Memory x = noise(int64_t{room} * columns * 2), out = zeros(int64_t{room} * rows * 4);
    const char* name = store == Store::kBf16 ? "bf16" : fp8 ? "fp8, a scale a row" : store == Store::kCode8 ? "8 bits, groups of 128" : "4 bits, groups of 128";
    const std::string product = std::string("product ") + name + ", [" + std::to_string(rows) + ", " + std::to_string(columns) + "]";
    // Both sides of where products are given to cuBLASLt, and of where tiles become panels.
    std::vector<Sides> library, panels;
    for (int m : {1, 8, 16, 32, 64, 96, 128, 192, 256, 384, 512, 1024, 4096}) {
      if (m > most) break;
      Memory count = ints({m});
      const Input in{x.data(), columns, false, nullptr};
      const std::string what = product + ", " + std::to_string(m) + " rows";
      // What comes from memory, and what goes there; the input stays in L2.
      const double bytes = static_cast<double>(value_bytes + (has_offsets ? 2 : 1) * factor_bytes) + m * rows * 4.0;
      auto lines = [&](const std::string& by, double ms, double moved) {
        if (m <= 64) line(what + by, ms, moved / ms / 1e6, "GB/s", true);
        if (m >= 64) line(what + by, ms, 2.0 * m * rows * columns / ms / 1e9, "TFLOP/s", false);
      };
      double ours = 0, tiles_ms = 0, panels_ms = 0;
      Product p{w, in, {out.as<float>(), rows}, nullptr, 1, 0};
      int turn = 0;
      auto each = [&](const std::function<void()>& body) {
        return time([&] {
          const int64_t copy = turn++ % copies;
          p.w.values = values.data() + copy * value_bytes;
          if (codes) p.w.scales = scales.data() + copy * factor_bytes;
          if (has_offsets) p.w.offsets = offsets.data() + copy * factor_bytes;
          body();
        });
      };
      const ChipShape chip{chips_, static_cast<int>(most_shared()), has_clusters()};
      const Way chosen = choose_way(p, nullptr, m, chip);
      std::vector<std::pair<Way, const TilingName*>> ways;
      for (const TilingName& tiling : kTilings) {
        // Far from it there is nothing to be had.
        if (!small_ && (m > 8 * tiling.rows || 8 * m < tiling.rows)) continue;
        const Way best = choose_way(p, nullptr, m, tiling.tiling, chip);
        if (best.sharing > 0) ways.push_back({best, &tiling});
        // What clusters bring.
        if (best.cluster > 1) ways.push_back({choose_way(p, nullptr, m, tiling.tiling, {chips_, static_cast<int>(most_shared()), false}), &tiling});
      }
      for (const auto& [of, tiling] : ways) {
        const Way way = of;
        const double ms = each([&] { multiply(stream_, {m, count.as<int32_t>()}, p, nullptr, chips_, way); });
        const bool is_chosen = chosen.tiling == way.tiling && chosen.cluster == way.cluster;
        if (is_chosen) ours = ms;
        if (way.tiling == Tiling::kPanels) {
          panels_ms = ms;
        } else {
          tiles_ms = tiles_ms == 0 ? ms : std::min(tiles_ms, ms);
        }
        char counted[96];
        std::snprintf(counted, sizeof counted, ", chunks by %d warps of %d blocks, counted %.1f us", way.sharing, way.cluster, count_way(p, nullptr, m, way, chip).us);
        lines(std::string(", batch-invariant, ") + tiling->name + counted + (is_chosen ? " (chosen)" : ""), ms, bytes);
      }
      if (tiles_ms > 0 && panels_ms > 0) panels.push_back({m, tiles_ms, panels_ms});
      const double theirs = library_ ? by_library(p, m, bytes, lines, each) : 0;
      if (theirs > 0) library.push_back({m, ours, theirs});
    }
    note(product + ": panels are faster than tiles", crossing_text(panels));
    if (library_) note(product + ": the library is faster than ours (--products library:ROWS)", crossing_text(library));
  }

  // The same as `products=library` has it: the weight made rows of bf16, and cuBLASLt, of rows that are filled up; and cuBLASLt alone, of those that are wanted. Milliseconds of the first; 0 where it has no way.
  template <class Lines, class Each>
  double by_library(const Product& p, int m, double bytes, const Lines& lines, const Each& each) {
    Memory workspace(Library::kWorkspace, "cuBLASLt"), rows(library_row_bytes(p.w.rows, p.w.columns), "cuBLASLt");
    const LibraryRoom room{rows.as<uint16_t>(), workspace.data()};
    const int filled_up = rounded_up(m, kLibraryRowStep);
    if (!multiply_by_library(*library_, stream_, filled_up, p, room, chips_)) return 0;
    const double ms = each([&] { multiply_by_library(*library_, stream_, filled_up, p, room, chips_); });
    lines(", library (widened, then cuBLASLt)", ms, bytes);
    if (multiplies_fp8(*library_, filled_up, p.w, p.out)) {
      Memory factors = filled(int64_t{filled_up} * 4, floats_);
      auto of_fp8 = [&] {
        Product inputs = p;
        inputs.x.factors = factors.as<float>();
        multiply_by_library(*library_, stream_, filled_up, inputs, room, chips_);
      };
      lines(", library (fp8 inputs)", each(of_fp8), bytes);
    }
    if (p.w.store != Store::kBf16) return ms;
    auto alone = [&] { return library_->multiply(stream_, {p.w.values, p.x.values, p.out.data, nullptr, m, p.w.rows, p.x.stride, p.out.stride, 1}, room.workspace); };
    if (alone()) lines(", cuBLASLt alone", each(alone), bytes);
    return ms;
  }

  // 32 query heads, 8 KV heads, 128 values, a cache in bf16.
  void attention(const char* name, int sequences, int rows, int context, bool memory, int tile) {
    constexpr int kHeads = 32, kKv = 8, kDim = 128, kBlock = 16;
    const int blocks = (context + kBlock - 1) / kBlock;
    CacheView cache{};
    cache.type = MR_BF16;
    cache.block_tokens = kBlock;
    cache.heads = kKv;
    cache.key_dim = cache.value_dim = cache.key_stride = cache.value_stride = cache.value_width = kDim;
    const int64_t side = int64_t{sequences} * blocks * kKv * kBlock * kDim * 2;
    Memory keys = noise(side), values = noise(side);
    cache.keys = keys.data();
    cache.values = values.data();
    std::vector<int32_t> positions, starts = {0}, lengths, table;
    for (int s = 0; s < sequences; s++) {
      for (int i = 0; i < rows; i++) positions.push_back(context - rows + i);
      starts.push_back(static_cast<int32_t>(positions.size()));
      lengths.push_back(context);
      for (int b = 0; b < blocks; b++) table.push_back(s * blocks + b);
    }
    std::shuffle(table.begin(), table.end(), std::mt19937(2));
    mr_step step{};
    step.rows = static_cast<int32_t>(positions.size());
    step.sequences = sequences;
    step.positions = positions.data();
    step.query_start = starts.data();
    step.context_len = lengths.data();
    const int places = attention_places(cache, false, tile, chips_);
    const TaskList list = plan_attention({0, kHeads, kKv, 0, tile}, step, int64_t{places} * attention_workers(tile));
    Memory tasks(static_cast<int64_t>(list.tasks.size() * sizeof(AttentionTask)), "a benchmark");
    Memory merges(static_cast<int64_t>(std::max<size_t>(1, list.merges.size()) * sizeof(MergeTask)), "a benchmark");
    stream_.upload(tasks.data(), list.tasks.data(), tasks.size());
    if (!list.merges.empty()) stream_.upload(merges.data(), list.merges.data(), merges.size());
    Memory counts = ints({static_cast<int32_t>(list.tasks.size()), static_cast<int32_t>(list.merges.size()), list.of_blocks}), width = ints({blocks});
    Memory at = ints(positions), where = ints(table), partials = zeros(std::max<int64_t>(1, list.partials) * kKv * partial_floats(kDim) * 4);
    Memory q = noise(int64_t{step.rows} * kHeads * kDim * 4), out = zeros(int64_t{step.rows} * kHeads * kDim * 4);
    AttentionArguments p{};
    p.cache = cache;
    p.q = {q.as<float>(), kHeads * kDim};
    p.out = {out.as<float>(), kHeads * kDim};
    p.positions = at.as<int32_t>();
    p.block_table = where.as<int32_t>();
    p.table_width = width.as<int32_t>();
    p.tasks = tasks.as<AttentionTask>();
    p.merges = merges.as<MergeTask>();
    p.counts = counts.as<int32_t>();
    p.partials = partials.as<float>();
    p.heads = kHeads;
    p.tile = tile;
    p.kv_heads = kKv;
    p.scale = 0.088f;
    // Grids are for the tasks that an engine reserves, not for those of the step.
    const int grid = attention_blocks(places, 4096, kKv);
    const std::string what = std::string("attention") + (tile == kBlockTile ? " by mma.sync, " : " by wgmma, ") + name;
    double ms = time([&] {
      attend(stream_, p, grid);
      if (!list.merges.empty()) merge_attention(stream_, p, grid);
    });
    if (memory) {
      line(what, ms, 2.0 * static_cast<double>(side) / ms / 1e6, "GB/s", true);
    } else {
      // Scores and values, of the tokens that are seen.
      const double seen = rows * (context - rows / 2.0);
      line(what, ms, 4.0 * seen * kHeads * kDim / ms / 1e9, "TFLOP/s", false);
    }
  }

  // A step's ids, of 64 rows of 128,256 logits, which L2 holds, as it does in a step.
  void choose(const char* name, float temperature, int top_k, float top_p) {
    const int rows = small_ ? 2 : 64, vocabulary = small_ ? 5000 : 128256;
    std::vector<float> logits(static_cast<size_t>(rows) * static_cast<size_t>(vocabulary));
    std::mt19937 random(3);
    std::normal_distribution<float> normal(0, 2.5f);
    for (float& x : logits) x = normal(random);
    Memory values(static_cast<int64_t>(logits.size()) * 4, "a benchmark"), ids = zeros(rows * 4), out = zeros(rows * static_cast<int64_t>(sizeof(mr_sampled)));
    Memory work = zeros(rows * sample_stride(vocabulary) * 4), counts = zeros(rows * sample_stride(vocabulary) * 4), count = ints({rows});
    stream_.upload(values.data(), logits.data(), values.size());
    std::vector<mr_sampling> how(static_cast<size_t>(rows));
    for (int r = 0; r < rows; r++) {
      mr_sampling& h = how[static_cast<size_t>(r)];
      h = {};
      h.chooses = r + 1;
      h.logprobs = h.last = h.mask_at = h.draft = -1;
      h.temperature = temperature;
      h.top_k = top_k;
      h.top_p = top_p;
      h.typical_p = h.repetition = 1;
      h.position = r;
    }
    Memory wanted(rows * static_cast<int64_t>(sizeof(mr_sampling)), "a benchmark");
    stream_.upload(wanted.data(), how.data(), wanted.size());
    stream_.synchronize();
    SampleArguments p{};
    p.logits = {values.as<float>(), vocabulary};
    p.vocabulary = vocabulary;
    p.rows = wanted.as<mr_sampling>();
    p.words = count.as<int32_t>();
    p.ids = ids.as<int32_t>();
    p.out = out.as<mr_sampled>();
    p.work = work.as<float>();
    p.counts = counts.as<int32_t>();
    p.stride = sample_stride(vocabulary);
    double ms = time([&] { sample(stream_, {rows, count.as<int32_t>()}, p); });
    line("ids of " + std::to_string(rows) + " rows of " + std::to_string(vocabulary) + ", " + name, ms, static_cast<double>(values.size()) / ms / 1e6, "GB/s", false);
  }

  bool small_;
  int chips_;
  Stream stream_;
  Stopwatch watch_;
  std::unique_ptr<Library> library_;
  std::vector<uint16_t> noise_, codes_;
  std::vector<float> floats_;
  double copy_rate_ = 0;
};

}  // namespace
}  // namespace millrace::cuda

namespace {

// Loads the library as a worker does; what it says of its device. 0 also where there is none: the library is then sound all the same.
int load_library(const char* path) {
  void* library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
  auto* version = library ? reinterpret_cast<decltype(&mr_abi_version)>(dlsym(library, "mr_abi_version")) : nullptr;
  auto* device = library ? reinterpret_cast<decltype(&mr_device)>(dlsym(library, "mr_device")) : nullptr;
  if (!version || !device) {
    std::printf("cannot be loaded: %s\n", dlerror());
    return 1;
  }
  char text[512] = "";
  device(nullptr, nullptr, text, sizeof text);
  std::printf("loads, ABI %d; its device: %s\n", version(), text);
  return version() == MR_ABI_VERSION ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc == 3 && std::strcmp(argv[1], "library") == 0) return load_library(argv[2]);
  const millrace::cuda::DeviceInfo device = millrace::cuda::device_info();
  if (!device.usable) {
    std::fprintf(stderr, "%s\n", device.text.c_str());
    return 2;
  }
  std::printf("%s\n", device.text.c_str());
  if (argc > 1 && std::strcmp(argv[1], "device") == 0) return 0;
  try {
    millrace::cuda::Bench(argc > 1 && std::strcmp(argv[1], "small") == 0).run();
  } catch (const millrace::Error& e) {
    std::fprintf(stderr, "%s\n", e.message.c_str());
    return 1;
  }
  return 0;
}
