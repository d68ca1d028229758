#include "pack.h"

#include "check.h"
#include "scalar.h"

namespace millrace::test {

TEST(halves_survive_a_round_trip) {
  for (uint32_t h = 0; h < 0x10000; h++) {
    float x = half_to_float(static_cast<uint16_t>(h));
    bool nan = x != x;
    CHECK(nan || float_to_half(x) == h, "%x", h);
  }
  CHECK(float_to_half(65520.0f) == 0x7c00);
  CHECK(float_to_half(65519.0f) == 0x7bff);
  CHECK(float_to_half(0x1.002p0f) == 0x3c00);  // a tie goes to even
  CHECK(float_to_half(0x1.006p0f) == 0x3c02);
  CHECK(float_to_bf16(1.00390625f) == 0x3f80);
  CHECK(float_to_bf16(bits_to_float(0x3f818000)) == 0x3f82);
}

TEST(packed_rows_have_the_values_of_stored_ones) {
  Random random(1);
  for (const Kernels* k : all_kernels()) {
    for (int type = 0; type < MR_TYPES; type++) {
      int columns = is_quantised(type) ? 512 : 37;
      int rows = 35;
      std::vector<uint8_t> stored = random_stored(type, rows, columns, random);
      Packed w = layout(type, rows, columns, k->lanes, k->panels);
      std::vector<uint8_t> data(static_cast<size_t>(packed_bytes(w)), 0xee);
      w.data = data.data();
      int64_t row = row_bytes(type, columns);
      for (int g = 0; g < w.groups; g++) {
        pack_group(w, stored.data() + g * w.lanes * w.width * row, g, k->offset_codes, data.data() + g * w.group_bytes);
      }
      std::vector<float> expected(static_cast<size_t>(columns));
      std::vector<float> actual(static_cast<size_t>(columns));
      for (int r = 0; r < rows; r++) {
        widen_row(type, stored.data() + r * row, columns, expected.data());
        unpack_row(w, r, k->offset_codes, actual.data());
        CHECK(same_bits(actual.data(), expected.data(), actual.size()), "%s %s row %d", k->name, kTypes[type].name, r);
      }
    }
  }
}

// Values by hand, one block each, from the definition of the formats.
TEST(stored_blocks_mean_what_the_formats_say) {
  std::vector<uint8_t> q41(20);
  uint16_t d = float_to_half(0.5f);
  uint16_t m = float_to_half(-3);
  std::memcpy(&q41[0], &d, 2);
  std::memcpy(&q41[2], &m, 2);
  q41[4] = 0xc5;
  float out[256];
  widen_row(MR_Q4_1, q41.data(), 32, out);
  CHECK(out[0] == 5 * 0.5f - 3 && out[16] == 12 * 0.5f - 3 && out[1] == -3);

  std::vector<uint8_t> q50(22);
  std::memcpy(&q50[0], &d, 2);
  q50[2] = 1;
  q50[6] = 0x21;
  widen_row(MR_Q5_0, q50.data(), 32, out);
  CHECK(out[0] == 0.5f * (17 - 16) && out[16] == 0.5f * (2 - 16));

  std::vector<uint8_t> q4k(144);
  std::memcpy(&q4k[0], &d, 2);
  std::memcpy(&q4k[2], &d, 2);
  q4k[4] = 3 | 0x40;  // scale 0; the high bits of scale 4
  q4k[8] = 7;         // minimum 0
  q4k[12] = 0x21;     // low bits of scale and minimum 4
  q4k[16] = 9;
  widen_row(MR_Q4_K, q4k.data(), 256, out);
  CHECK(out[0] == 0.5f * 3 * 9 - 0.5f * 7);
  CHECK(out[128] == -0.5f * 2);

  std::vector<uint8_t> q6k(210);
  std::memcpy(&q6k[208], &d, 2);
  q6k[192] = 0xfe;
  q6k[0] = 0x0a;
  q6k[128] = 3;
  widen_row(MR_Q6_K, q6k.data(), 256, out);
  CHECK(out[0] == 0.5f * -2 * (0x3a - 32));
}

}  // namespace millrace::test
