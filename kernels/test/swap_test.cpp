#include "swaps.h"

namespace millrace::test {
namespace {

mr_options two_threads() { return options(MR_ISA_AUTO, 2); }

}  // namespace

TEST(swapped_blocks_come_back_with_their_bytes_in_every_cache_type) {
  Swapping(two_threads(), 60).check_types({MR_F32, MR_F16, MR_BF16, MR_INT8}, 128);
}

TEST(all_blocks_are_swapped_at_once) { Swapping(two_threads(), 61).check_all_blocks(MR_INT8, 128); }

TEST(how_fast_blocks_are_swapped_is_measured_where_there_is_a_pool) { Swapping(two_threads(), 65).check_rates(MR_F16, 64); }

TEST(blocks_that_are_not_there_are_not_swapped) {
  Swapping swapping(two_threads(), 62);
  swapping.check_bad_ones(MR_F32, 128);
  mr_options o = two_threads();
  mr_kv_group group{8, 1, 2, 20, 24, MR_F32, -2};
  o.groups = 1;
  o.group = &group;
  char message[256] = "";
  mr_model* made = nullptr;
  const std::vector<int32_t>& program = swapping.model().program;
  const int32_t status = mr_create(&o, program.data(), static_cast<int64_t>(program.size()), &made, message, sizeof message);
  CHECK(status == MR_INVALID && std::strstr(message, "-2 blocks on the host"), "%s", message);
}

}  // namespace millrace::test
