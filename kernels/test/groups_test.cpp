#include <algorithm>
#include <numeric>

#include "check.h"
#include "input.h"
#include "memory.h"
#include "pack.h"
#include "runner.h"

namespace millrace::test {
namespace {

constexpr float kNf4[16] = {-1.0f,       -0.6961928f, -0.52507305f, -0.3949175f, -0.28444138f, -0.18477343f, -0.091050036f, 0.0f,
                            0.0795803f,  0.1609302f,  0.2461123f,   0.33791524f, 0.44070983f,  0.562617f,    0.72295684f,   1.0f};

// A weight in groups, and what it stands for.
struct Grouped {
  int type, rows, columns;
  std::vector<uint8_t> codes, zeros;
  std::vector<float> scales;
  std::vector<int32_t> order;
  mr_groups stored{};
  std::vector<float> values;

  Grouped(int t, int r, int c, int group, bool shuffled, Random& random) : type(t), rows(r), columns(c) {
    auto groups = static_cast<size_t>(rows * (columns / group));
    for (int i = 0; i < rows * columns; i++) codes.push_back(static_cast<uint8_t>(random.below(type == MR_INT8 ? 256 : 16)));
    for (size_t i = 0; i < groups; i++) zeros.push_back(static_cast<uint8_t>(random.below(type == MR_INT8 ? 256 : 17)));
    scales = random.normals(groups, 0.02f);
    if (shuffled) {
      order.resize(static_cast<size_t>(columns));
      std::iota(order.begin(), order.end(), 0);
      for (size_t i = order.size(); i > 1; i--) std::swap(order[i - 1], order[static_cast<size_t>(random.below(static_cast<int>(i)))]);
    }
    stored = {type, group, codes.data(), scales.data(), type == MR_CODEBOOK ? nullptr : zeros.data(), shuffled ? order.data() : nullptr,
              type == MR_CODEBOOK ? kNf4 : nullptr};
    values.resize(codes.size());
    for (int row = 0; row < rows; row++) {
      for (int k = 0; k < columns; k++) {
        auto at = static_cast<size_t>(row * columns + k);
        auto g = static_cast<size_t>(row * (columns / group) + k / group);
        float value = type == MR_CODEBOOK ? kNf4[codes[at]] * scales[g] : static_cast<float>(codes[at] - zeros[g]) * scales[g];
        values[static_cast<size_t>(row * columns + (shuffled ? order[static_cast<size_t>(k)] : k))] = value;
      }
    }
  }
};

struct PackedGroups {
  Packed packed;
  Memory memory;

  PackedGroups(const Kernels& k, const Grouped& g, bool floats) {
    packed.group_columns = g.stored.group_columns;
    packed.order = g.stored.order;
    packed.levels = g.stored.levels;
    packed.float_rows = floats;
    layout_groups(packed, g.type, g.rows, g.columns, k.lanes, k.panels);
    memory = Memory(packed_bytes(packed));
    packed.data = memory.data();
    for (int i = 0; i < packed.groups; i++) pack_grouped(packed, g.stored, i, k.offset_codes, memory.data() + i * packed.group_bytes);
  }
};

std::vector<float> multiply(const Kernels& k, const Packed& w, const std::vector<float>& x, int rows) {
  Input input;
  input.start(k, w.columns, rows);
  input.want(w);
  input.allocate();
  for (int r = 0; r < rows; r++) input.make(r, &x[static_cast<size_t>(r * w.columns)]);
  std::vector<float> out(static_cast<size_t>(rows * w.rows));
  std::vector<float> in = x;
  LinearTask task{};
  task.w = &w;
  input.give({in.data(), w.columns}, task);
  task.out = {out.data(), w.rows};
  task.factor = 1;
  task.row1 = rows;
  task.group1 = w.groups;
  k.linear(task);
  return out;
}

}  // namespace

TEST(weights_in_groups_agree_with_double_precision) {
  Random random(31);
  for (const Kernels* k : all_kernels()) {
    for (int type : {MR_INT8, MR_INT4, MR_CODEBOOK}) {
      for (bool shuffled : {false, true}) {
        int columns = 384, rows = 45, inputs = 7;
        Grouped g(type, rows, columns, shuffled ? 32 : 128, shuffled, random);
        std::vector<float> x = random.normals(static_cast<size_t>(inputs * columns), 2);
        std::vector<double> expected;
        for (int r = 0; r < inputs; r++) {
          for (int o = 0; o < rows; o++) {
            double sum = 0;
            for (int i = 0; i < columns; i++) {
              sum += static_cast<double>(g.values[static_cast<size_t>(o * columns + i)]) * x[static_cast<size_t>(r * columns + i)];
            }
            expected.push_back(sum);
          }
        }
        for (bool floats : {true, false}) {
          PackedGroups w(*k, g, floats);
          std::vector<float> out = multiply(*k, w.packed, x, inputs);
          double error = difference(out.data(), expected.data(), out.size());
          CHECK(error < (floats ? 1e-5 : 1.2e-2), "%s %s floats %d: %g", k->name, kTypes[type].name, floats, error);
          for (int rows1 : {1, 2, 5}) {
            std::vector<float> some = multiply(*k, w.packed, x, rows1);
            CHECK(same_bits(some.data(), out.data(), some.size()), "%s %s of %d rows", k->name, kTypes[type].name, rows1);
          }
          std::vector<float> row(static_cast<size_t>(columns));
          for (int r = 0; r < rows; r++) {
            unpack_row(w.packed, r, k->offset_codes, row.data());
            CHECK(same_bits(row.data(), &g.values[static_cast<size_t>(r * columns)], row.size()), "%s %s row %d", k->name, kTypes[type].name, r);
          }
        }
      }
    }
  }
}

TEST(weights_in_groups_take_their_codes_and_factors_and_no_floats) {
  Random random(32);
  for (const Kernels* k : all_kernels()) {
    for (int type : {MR_INT8, MR_INT4, MR_CODEBOOK}) {
      Grouped g(type, 256, 1024, 64, false, random);
      double bytes = static_cast<double>(packed_bytes(PackedGroups(*k, g, true).packed));
      double expected = 256.0 * 1024 * (type == MR_INT8 ? 1 : 0.5) + 256.0 * 16 * (type == MR_CODEBOOK ? 4 : 5);
      CHECK(bytes == expected, "%s %s: %g of %g", k->name, kTypes[type].name, bytes, expected);
    }
  }
}

TEST(a_malformed_weight_in_groups_is_refused_with_its_name) {
  Random random(33);
  Builder b;
  int table = b.weight("table", 8, 64);
  int x = b.rows(64), y = b.rows(48);
  b.op(1, {table, x, Builder::bits(1)});
  int w = b.weight("matrix", 48, 64);
  b.op(3, {x, 1, w, 1, -1, 1, y});
  Runner runner(b.encode(), options(MR_ISA_AUTO, 1), {}, 1);
  Grouped g(MR_INT4, 48, 64, 32, true, random);
  char error[256];
  auto status = [&](const mr_groups& groups) { return mr_bind_groups(runner.model(), w, 48, 64, &groups, error, sizeof error); };
  CHECK(status(g.stored) == MR_OK);
  mr_groups wrong = g.stored;
  wrong.group_columns = 48;
  CHECK(status(wrong) == MR_INVALID && std::strstr(error, "matrix"), "%s", error);
  wrong = g.stored;
  wrong.zeros = nullptr;
  CHECK(status(wrong) == MR_INVALID && std::strstr(error, "zeros"), "%s", error);
  wrong = g.stored;
  g.order[3] = g.order[4];
  CHECK(status(wrong) == MR_INVALID && std::strstr(error, "order"), "%s", error);
  wrong.type = MR_FP8;
  CHECK(status(wrong) == MR_UNSUPPORTED && std::strstr(error, "FP8"), "%s", error);
  wrong.type = MR_Q4_0;
  CHECK(status(wrong) == MR_UNSUPPORTED, "%s", error);
}

TEST(a_kept_packed_weight_gives_the_same_bits_and_a_damaged_one_is_refused) {
  Random random(34);
  for (int isa = MR_ISA_PORTABLE; isa <= MR_ISA_AVX512; isa++) {
    if (!isa_available(isa)) continue;
    for (int type : {MR_F32, MR_Q4_1, MR_Q6_K, MR_INT4, MR_CODEBOOK}) {
      Builder b;
      int table = b.weight("table", 8, 256), matrix = b.weight("matrix", 48, 256);
      int x = b.rows(256), y = b.rows(48);
      b.op(1, {table, x, Builder::bits(1)});
      b.op(3, {x, 1, matrix, 1, -1, 1, y});
      mr_options o = options(isa, 2);
      o.keep_activations = 1;
      std::vector<mr_kv_group> groups = {{4, 1, 1, 16, 16, MR_F32, 0}};
      Runner first(b.encode(), o, groups, 1), second(b.encode(), o, groups, 1);
      std::vector<float> values = random.normals(8 * 256);
      first.bind(table, 8, 256, values);
      second.bind(table, 8, 256, values);
      CHECK(mr_packed_bytes(first.model(), matrix) == 0);
      Grouped g(type >= MR_INT8 ? type : MR_INT4, 48, 256, 64, type == MR_INT4, random);
      char error[256] = "";
      if (type >= MR_INT8) {
        CHECK(mr_bind_groups(first.model(), matrix, 48, 256, &g.stored, error, sizeof error) == MR_OK, "%s", error);
      } else {
        first.bind(matrix, type, 48, 256, random_stored(type, 48, 256, random));
      }
      std::vector<uint8_t> kept(static_cast<size_t>(mr_packed_bytes(first.model(), matrix)));
      auto bytes = static_cast<int64_t>(kept.size());
      CHECK(mr_read_packed(first.model(), matrix, kept.data(), bytes, error, sizeof error) == MR_OK, "%s", error);
      CHECK(mr_bind_packed(second.model(), matrix, kept.data(), bytes - 1, error, sizeof error) == MR_INVALID, "short");
      for (size_t at : {size_t{0}, size_t{4}, size_t{8}, size_t{16}, size_t{20}}) {
        std::vector<uint8_t> damaged = kept;
        damaged[at] = static_cast<uint8_t>(damaged[at] ^ 0x55);
        CHECK(mr_bind_packed(second.model(), matrix, damaged.data(), bytes, error, sizeof error) == MR_INVALID, "byte %zu", at);
      }
      CHECK(mr_bind_packed(second.model(), matrix, kept.data(), bytes, error, sizeof error) == MR_OK, "%s", error);
      Sequence s, t;
      s.ids = t.ids = {1, 2, 3, 4};
      first.step({&s}, {4}, 0);
      second.step({&t}, {4}, 0);
      CHECK(same_bits(first.read(y, 4, 48).data(), second.read(y, 4, 48).data(), 4 * 48), "isa %d type %d", isa, type);
      CHECK(mr_ops(first.model()) == 2, "ops");
    }
  }
}

}  // namespace millrace::test
