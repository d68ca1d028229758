#include <algorithm>

#include "pack.h"
#include "runner.h"

namespace millrace::test {
namespace {

constexpr int kHidden = 256, kWide = 512, kExperts = 6, kActive = 2;
// Ids of the table's rows: `kZero` is all zeros, `kFault` has a NaN.
constexpr int kIds = 40, kZero = 38, kFault = 39;
// Chosen by all rows but that of zeros, and by none.
constexpr int kLoved = 4, kUnloved = 2;

// Rows of a table, routed to experts that have weights of one type.
struct ExpertModel {
  std::vector<int32_t> program;
  std::vector<float> table, router;
  struct Matrix {
    int handle, rows, columns;
    std::vector<uint8_t> stored;
    std::vector<float> values;
  };
  // Gates, ups, downs.
  std::vector<Matrix> matrices;
  int type, table_handle, router_handle, ids, weights, out;

  ExpertModel(int stored_type, Random& random) : type(stored_type) {
    Builder b;
    table = random.normals(static_cast<size_t>(kIds * kHidden));
    router = random.normals(static_cast<size_t>(kExperts * kHidden), 0.1f);
    for (int id = 0; id < kIds; id++) table[static_cast<size_t>(id * kHidden)] = 1;
    std::fill_n(&table[static_cast<size_t>(kZero * kHidden)], kHidden, 0.0f);
    table[static_cast<size_t>(kFault * kHidden + 7)] = NAN;
    router[kLoved * kHidden] = 50;
    router[kUnloved * kHidden] = -50;
    table_handle = b.weight("table", kIds, kHidden);
    router_handle = b.weight("router", kExperts, kHidden);
    int x = b.rows(kHidden);
    b.op(1, {table_handle, x, Builder::bits(1)});
    ids = b.rows(kActive);
    weights = b.rows(kActive);
    b.op(34, {x, router_handle, ids, weights, kActive, 1, Builder::bits(1.5f), 1, 1});
    std::vector<int32_t> words = {x, ids, weights};
    for (const char* name : {"gate", "up", "down"}) {
      bool down = *name == 'd';
      words.push_back(kExperts);
      for (int e = 0; e < kExperts; e++) {
        Matrix m;
        m.rows = down ? kHidden : kWide;
        m.columns = down ? kWide : kHidden;
        m.handle = b.weight(name + std::to_string(e), m.rows, m.columns);
        m.stored = random_stored(type, m.rows, m.columns, random);
        m.values.resize(static_cast<size_t>(m.rows * m.columns));
        for (int r = 0; r < m.rows; r++) {
          widen_row(type, m.stored.data() + r * row_bytes(type, m.columns), m.columns, &m.values[static_cast<size_t>(r * m.columns)]);
        }
        words.push_back(m.handle);
        matrices.push_back(std::move(m));
      }
    }
    out = b.rows(kHidden);
    words.push_back(out);
    words.push_back(0);
    b.op(35, words);
    program = b.encode();
  }

  std::unique_ptr<Runner> runner(int isa, int threads, int precision) const {
    mr_options o = options(isa, threads);
    o.keep_activations = 1;
    o.precision = precision;
    auto r = std::make_unique<Runner>(program, o, std::vector<mr_kv_group>{{8, 1, 1, 16, 16, MR_F32, 0}}, 1);
    r->bind(table_handle, kIds, kHidden, table);
    r->bind(router_handle, kExperts, kHidden, router);
    for (const Matrix& m : matrices) r->bind(m.handle, type, m.rows, m.columns, m.stored);
    return r;
  }

  std::vector<float> run(Runner& r, const std::vector<int32_t>& tokens) const {
    Sequence s;
    s.ids = tokens;
    r.step({&s}, {static_cast<int>(tokens.size())}, 0);
    return r.read(out, static_cast<int>(tokens.size()), kHidden);
  }

  // W · x of one matrix.
  std::vector<double> times(size_t matrix, const std::vector<double>& x) const {
    const Matrix& m = matrices[matrix];
    std::vector<double> y(static_cast<size_t>(m.rows));
    for (size_t r = 0; r < y.size(); r++) {
      for (size_t c = 0; c < x.size(); c++) y[r] += m.values[r * x.size() + c] * x[c];
    }
    return y;
  }

  // The experts are those that were chosen: two as probable ones may come out either way.
  std::vector<double> expected(int token, const int32_t* chosen, const float* share) const {
    const float* row = &table[static_cast<size_t>(token * kHidden)];
    std::vector<double> x(row, row + kHidden), sum(kHidden);
    for (int k = 0; k < kActive; k++) {
      auto e = static_cast<size_t>(chosen[k]);
      std::vector<double> gate = times(e, x), up = times(kExperts + e, x);
      for (size_t i = 0; i < gate.size(); i++) gate[i] = gate[i] / (1 + std::exp(-gate[i])) * up[i];
      std::vector<double> down = times(2 * kExperts + e, gate);
      for (size_t i = 0; i < sum.size(); i++) sum[i] += static_cast<double>(share[k]) * down[i];
    }
    return sum;
  }
};

std::vector<int> sets() {
  std::vector<int> all;
  for (int isa = MR_ISA_PORTABLE; isa <= MR_ISA_AVX512; isa++) {
    if (isa_available(isa)) all.push_back(isa);
  }
  return all;
}

std::vector<int32_t> tokens(int count, Random& random) {
  std::vector<int32_t> all;
  for (int i = 0; i < count; i++) all.push_back(random.below(kZero));
  return all;
}

std::vector<int32_t> ids_of(const ExpertModel& model, Runner& runner, int rows) {
  std::vector<float> bits = runner.read(model.ids, rows, kActive);
  std::vector<int32_t> ids(bits.size());
  std::memcpy(ids.data(), bits.data(), bits.size() * 4);
  return ids;
}

}  // namespace

TEST(experts_agree_with_double_precision_in_every_type_with_skewed_routing) {
  Random random(61);
  for (int type = 0; type < MR_TYPES; type++) {
    ExpertModel model(type, random);
    std::vector<int32_t> all = tokens(9, random);
    for (int isa : sets()) {
      for (int precision : {MR_PRECISION_F32, MR_PRECISION_NATIVE}) {
        auto runner = model.runner(isa, 2, precision);
        std::vector<float> out = model.run(*runner, all);
        std::vector<int32_t> chosen = ids_of(model, *runner, 9);
        std::vector<float> shares = runner->read(model.weights, 9, kActive);
        std::vector<double> expected;
        for (int t = 0; t < 9; t++) {
          const int32_t* mine = &chosen[static_cast<size_t>(t * kActive)];
          CHECK(std::count(mine, mine + kActive, kLoved) == 1 && std::count(mine, mine + kActive, kUnloved) == 0, "isa %d row %d", isa, t);
          CHECK(mine[0] < mine[1], "isa %d row %d", isa, t);
          for (double v : model.expected(all[static_cast<size_t>(t)], mine, &shares[static_cast<size_t>(t * kActive)])) expected.push_back(v);
        }
        double error = difference(out.data(), expected.data(), out.size());
        bool rounds = precision == MR_PRECISION_NATIVE && (is_quantised(type) || type == MR_BF16);
        CHECK(error < (rounds ? 3e-2 : 1e-5), "isa %d %s precision %d: %g", isa, kTypes[type].name, precision, error);
      }
    }
  }
}

TEST(bits_of_experts_do_not_depend_on_the_rows_that_chose_them_too) {
  Random random(62);
  for (int type = 0; type < MR_TYPES; type++) {
    ExpertModel model(type, random);
    std::vector<int32_t> all = tokens(17, random);
    for (int isa : sets()) {
      if (isa == MR_ISA_PORTABLE && type > MR_Q4_1) continue;
      auto many = model.runner(isa, 3, MR_PRECISION_NATIVE);
      auto one = model.runner(isa, 1, MR_PRECISION_NATIVE);
      std::vector<float> together = model.run(*many, all);
      for (size_t t = 0; t < all.size(); t += 5) {
        std::vector<float> alone = model.run(*one, {all[t]});
        CHECK(same_bits(alone.data(), &together[t * kHidden], kHidden), "isa %d %s row %zu", isa, kTypes[type].name, t);
      }
    }
  }
}

TEST(a_row_of_zeros_gives_zeros_and_one_that_is_no_number_fails_alone) {
  Random random(63);
  for (int type : {MR_F32, MR_BF16, MR_Q4_0, MR_Q8_0, MR_Q6_K}) {
    ExpertModel model(type, random);
    for (int isa : sets()) {
      auto runner = model.runner(isa, 2, MR_PRECISION_NATIVE);
      std::vector<float> out = model.run(*runner, {3, kZero, kFault, 5});
      std::vector<int32_t> chosen = ids_of(model, *runner, 4);
      for (int32_t e : chosen) CHECK(e >= 0 && e < kExperts, "isa %d: expert %d", isa, e);
      CHECK(chosen[kActive] == 0 && chosen[kActive + 1] == 1, "of equal experts the first");
      for (size_t i = 0; i < kHidden; i++) {
        CHECK(std::isfinite(out[i]) && std::isfinite(out[3 * kHidden + i]), "isa %d %s: a row beside the broken one", isa, kTypes[type].name);
        CHECK(out[kHidden + i] == 0, "isa %d %s: a row of zeros", isa, kTypes[type].name);
        CHECK(std::isnan(out[2 * kHidden + i]), "isa %d %s: the broken row", isa, kTypes[type].name);
      }
    }
  }
}

TEST(experts_of_which_some_have_no_matrix_are_refused) {
  Builder b;
  int table = b.weight("table", 4, 32), router = b.weight("router", 2, 32);
  int x = b.rows(32), ids = b.rows(1), shares = b.rows(1);
  b.op(1, {table, x, Builder::bits(1)});
  b.op(34, {x, router, ids, shares, 1, 0, Builder::bits(1), 1, 1});
  int gate = b.weight("gate", 32, 32), gate2 = b.weight("gate2", 32, 32), up = b.weight("up", 32, 32), down = b.weight("down", 32, 32);
  int out = b.rows(32);
  b.op(35, {x, ids, shares, 2, gate, gate2, 1, up, 2, down, down, out, 0});
  std::vector<int32_t> words = b.encode();
  mr_options o = options(MR_ISA_AUTO, 1);
  mr_model* model = nullptr;
  char error[256] = {};
  CHECK(mr_create(&o, words.data(), static_cast<int64_t>(words.size()), &model, error, sizeof error) == MR_INVALID, "%s", error);
  CHECK(std::strstr(error, "expert") != nullptr, "%s", error);
}

}  // namespace millrace::test
