// What chips whose blocks have less shared memory make of the kernels. The emulator alone can be one.
#include "machine.h"
#include "models.h"
#include "op_program.h"
#include "products.h"

namespace millrace::test {
namespace {

// As sm_86, sm_89 and sm_120 have.
constexpr size_t kLeast = 99 << 10;

}  // namespace

TEST(products_on_a_chip_with_less_shared_memory_have_the_same_bits) {
  Random random(71);
  constexpr int kColumns = 768, kOuts = 48;
  for (int type : {MR_F32, MR_F16, MR_Q4_0}) {
    Products products(kOuts, kColumns, random);
    const std::vector<uint8_t> stored = random_stored(type, kOuts, kColumns, random);
    for (int precision : {MR_PRECISION_NATIVE, MR_PRECISION_F32}) {
      for (int rows : {5, 13, 27, 70}) {
        std::vector<int32_t> ids;
        for (int i = 0; i < rows; i++) ids.push_back(i * 7 % OpProgram::kIds);
        auto outs = [&] {
          auto runner = products.p.runner(cuda_options(precision));
          runner->bind(products.weight, type, kOuts, kColumns, stored);
          runner->bind(products.other, 11, kColumns, products.plain);
          OpProgram::run(*runner, ids);
          return runner->read(products.out, rows, kOuts);
        };
        const std::vector<float> expected = outs();
        Machine kept;
        emulator::machine().major = 8;
        emulator::machine().minor = 6;
        emulator::machine().shared_bytes = kLeast;
        const std::vector<float> actual = outs();
        CHECK(same_bits(actual.data(), expected.data(), expected.size()), "type %d, precision %d, %d rows", type, precision, rows);
      }
    }
  }
}

// On the way through shared memory where it has room, and else read where it lies.
TEST(attention_on_a_chip_with_less_shared_memory_has_the_same_bits_and_keys_that_do_not_fit_are_refused_at_once) {
  Random random(72);
  AttentionModel model({2, 1, 256, 256, 0, 0}, random);
  const Sequence a = sequence(70, random);
  auto outs = [&] {
    auto runner = model.runner([] {
      mr_options o = cuda_options(MR_PRECISION_F32);
      o.keep_activations = 1;
      return o;
    }(), MR_F32, 1, 1024);
    Sequence x = a;
    runner->step({&x}, {70}, 0);
    return runner->read(model.out, 70, 2 * 256);
  };
  const std::vector<float> expected = outs();
  Machine kept;
  emulator::machine().major = 8;
  emulator::machine().minor = 9;
  emulator::machine().shared_bytes = kLeast;
  const std::vector<float> actual = outs();
  CHECK(same_bits(actual.data(), expected.data(), expected.size()));
  for (auto [dim, precision, status] : {std::tuple{384, MR_PRECISION_F32, MR_OK}, {416, MR_PRECISION_F32, MR_UNSUPPORTED}, {416, MR_PRECISION_NATIVE, MR_OK}}) {
    AttentionModel of_size({1, 1, dim, 64, 0, 0}, random);
    mr_options o = cuda_options(precision);
    const mr_kv_group group{64, 1, 1, dim, 64, MR_BF16, 0};
    o.groups = 1;
    o.group = &group;
    char text[512] = "";
    mr_model* created = nullptr;
    const int32_t actual_status = mr_create(&o, of_size.program.data(), static_cast<int64_t>(of_size.program.size()), &created, text, sizeof text);
    CHECK(actual_status == status, "%d: %s", dim, text);
    if (status == MR_OK) mr_free(created);
    if (status != MR_OK) CHECK(has(text, "keys of 416 values takes 104 KiB of shared memory a block, sm_89 has 99. Use --activations auto, or --engine cpu"), "%s", text);
  }
}

TEST(a_layer_of_more_experts_than_can_be_chosen_from_is_refused_at_once) {
  for (int experts : {8192, 8193}) {
    Builder b;
    const int table = b.weight("table", 8, 32), x = b.rows(32), ids = b.rows(2), weights = b.rows(2);
    b.op(1, {table, x, Builder::bits(1)});
    b.op(34, {x, b.weight("router", experts, 32), ids, weights, 2, 1, Builder::bits(1), 1, 1});
    const std::vector<int32_t> program = b.encode();
    const mr_options o = cuda_options(0);
    char text[512] = "";
    mr_model* created = nullptr;
    const int32_t status = mr_create(&o, program.data(), static_cast<int64_t>(program.size()), &created, text, sizeof text);
    CHECK(status == (experts == 8192 ? MR_OK : MR_UNSUPPORTED), "%d experts: %d %s", experts, status, text);
    if (status == MR_OK) mr_free(created);
    if (experts > 8192) CHECK(has(text, "8193 experts") && has(text, "at most 8192"), "%s", text);
  }
}

}  // namespace millrace::test
