#include "runner.h"
#include "error.h"
#include "plan.h"

namespace millrace::test {
namespace {

std::vector<int32_t> small() {
  Builder b;
  int table = b.weight("table", 8, 32);
  int x = b.rows(32);
  b.op(1, {table, x, Builder::bits(1)});
  int y = b.rows(32);
  b.op(9, {x, y, Builder::bits(2)});
  int z = b.rows(32);
  b.op(9, {y, z, Builder::bits(2)});
  int last = b.rows(32);
  b.op(9, {z, last, Builder::bits(2)});
  return b.encode();
}

int status_of(const std::vector<int32_t>& words) {
  try {
    decode(words.data(), static_cast<int64_t>(words.size()));
    return MR_OK;
  } catch (const Error& e) {
    CHECK(!e.message.empty());
    return e.status;
  }
}

}  // namespace

TEST(damaged_programs_are_refused) {
  std::vector<int32_t> good = small();
  CHECK(status_of(good) == MR_OK);
  for (size_t n = 0; n < good.size(); n++) CHECK(status_of({good.begin(), good.begin() + static_cast<long>(n)}) != MR_OK, "%zu words", n);
  Random random(17);
  for (int i = 0; i < 20000; i++) {
    std::vector<int32_t> bad = good;
    size_t at = static_cast<size_t>(random.below(static_cast<int>(bad.size())));
    bad[at] = random.below(2) ? random.below(64) - 8 : static_cast<int32_t>(random.below(1 << 30) * 4u);
    status_of(bad);
  }
}

TEST(unknown_ops_are_refused_by_number) {
  Builder b;
  b.op(33, {1, 2, 3});
  std::vector<int32_t> words = b.encode();
  try {
    decode(words.data(), static_cast<int64_t>(words.size()));
    CHECK(false);
  } catch (const Error& e) {
    CHECK(e.status == MR_UNSUPPORTED && e.message.find("33") != std::string::npos, "%s", e.message.c_str());
  }
}

TEST(activations_share_memory_after_their_last_use) {
  std::vector<int32_t> words = small();
  Program program = decode(words.data(), static_cast<int64_t>(words.size()));
  Plan shared = make_plan(program, false);
  CHECK(shared.slot_width.size() == 2, "%zu slots", shared.slot_width.size());
  CHECK(make_plan(program, true).slot_width.size() == 4);
  CHECK(shared.stages.size() == 1);
}

TEST(options_are_checked) {
  std::vector<int32_t> words = small();
  mr_model* model = nullptr;
  char message[256];
  auto create = [&](mr_options o) { return mr_create(&o, words.data(), static_cast<int64_t>(words.size()), &model, message, sizeof message); };
  mr_options o = options(MR_ISA_AUTO, 1);
  o.abi_version = 99;
  CHECK(create(o) == MR_INVALID);
  o = options(17, 1);
  CHECK(create(o) == MR_UNSUPPORTED);
  o = options(MR_ISA_AUTO, 0);
  CHECK(create(o) == MR_INVALID);
  o = options(MR_ISA_AUTO, 1);
  o.block_tokens = 24;
  CHECK(create(o) == MR_INVALID && std::strstr(message, "24"), "%s", message);
  CHECK(mr_create(nullptr, nullptr, 0, &model, message, sizeof message) == MR_INVALID);
  o = options(MR_ISA_AUTO, 1);
  CHECK(create(o) == MR_OK);
  std::vector<float> table(8 * 32);
  CHECK(mr_bind(model, 0, MR_F32, 8, 31, table.data(), 8 * 31 * 4, message, sizeof message) == MR_INVALID);
  CHECK(std::strstr(message, "table"), "%s", message);
  CHECK(mr_bind(model, 0, MR_F32, 8, 32, table.data(), 5, message, sizeof message) == MR_INVALID);
  CHECK(mr_bind(model, 0, MR_Q4_K, 8, 32, table.data(), 8 * 144, message, sizeof message) == MR_INVALID);
  CHECK(mr_bind(model, 0, 77, 8, 32, table.data(), 8, message, sizeof message) == MR_UNSUPPORTED);
  CHECK(mr_bind(model, 1, MR_F32, 8, 32, table.data(), 8 * 128, message, sizeof message) == MR_INVALID);
  CHECK(mr_run(model, nullptr, message, sizeof message) == MR_INVALID);
  mr_free(model);
  mr_free(nullptr);
}

}  // namespace millrace::test
