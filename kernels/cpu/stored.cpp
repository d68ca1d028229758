#include "stored.h"

using std::size_t;

namespace millrace {
namespace {

uint16_t word(const uint8_t* p) { return static_cast<uint16_t>(p[0] | p[1] << 8); }

uint32_t word32(const uint8_t* p) { return word(p) | static_cast<uint32_t>(word(p + 2)) << 16; }

void nibbles(const uint8_t* in, uint8_t* codes) {
  for (int j = 0; j < 16; j++) {
    codes[j] = in[j] & 15;
    codes[j + 16] = in[j] >> 4;
  }
}

void add_fifth_bits(uint32_t bits, uint8_t* codes) {
  for (int j = 0; j < 32; j++) codes[j] = static_cast<uint8_t>(codes[j] | (bits >> j & 1) << 4);
}

// Blocks of 32 values.
void take_block(int type, const uint8_t* in, int64_t block, StoredRow& row) {
  uint8_t* codes = &row.codes[static_cast<size_t>(32 * block)];
  auto b = static_cast<size_t>(block);
  row.d[b] = word(in);
  switch (type) {
    case MR_Q4_0:
    case MR_IQ4_NL: nibbles(in + 2, codes); break;
    case MR_Q4_1:
      row.m[b] = word(in + 2);
      nibbles(in + 4, codes);
      break;
    case MR_Q5_0:
      nibbles(in + 6, codes);
      add_fifth_bits(word32(in + 2), codes);
      break;
    case MR_Q5_1:
      row.m[b] = word(in + 2);
      nibbles(in + 8, codes);
      add_fifth_bits(word32(in + 4), codes);
      break;
    default:
      for (int j = 0; j < 32; j++) codes[j] = in[2 + j];
  }
}

// Value j of the 2-bit planes of Q2_K and Q3_K, sub-block s.
int two_bits(const uint8_t* planes, int s, int j) { return planes[32 * (s >> 3) + 16 * (s & 1) + j] >> 2 * (s >> 1 & 3) & 3; }

void take_q2k(const uint8_t* in, uint8_t* codes, uint8_t* scale, uint8_t* minimum) {
  for (int s = 0; s < 16; s++) {
    scale[s] = in[s] & 15;
    minimum[s] = in[s] >> 4;
    for (int j = 0; j < 16; j++) codes[16 * s + j] = static_cast<uint8_t>(two_bits(in + 16, s, j));
  }
}

void take_q3k(const uint8_t* in, uint8_t* codes, uint8_t* scale) {
  for (int s = 0; s < 16; s++) {
    int low = in[96 + (s & 7)] >> 4 * (s >> 3) & 15;
    int high = in[104 + (s & 3)] >> 2 * (s >> 2) & 3;
    scale[s] = static_cast<uint8_t>((low | high << 4) - 32);
    for (int j = 0; j < 16; j++) {
      int bit = in[16 * (s & 1) + j] >> (s >> 1) & 1;
      codes[16 * s + j] = static_cast<uint8_t>(two_bits(in + 32, s, j) | bit << 2);
    }
  }
}

// The eight 6-bit scales and minima of Q4_K and Q5_K.
void six_bits(const uint8_t* in, uint8_t* scale, uint8_t* minimum) {
  for (int s = 0; s < 4; s++) {
    scale[s] = in[s] & 63;
    minimum[s] = in[4 + s] & 63;
    scale[4 + s] = static_cast<uint8_t>((in[8 + s] & 15) | (in[s] >> 2 & 0x30));
    minimum[4 + s] = static_cast<uint8_t>(in[8 + s] >> 4 | (in[4 + s] >> 2 & 0x30));
  }
}

void take_q4k(const uint8_t* nibbles, uint8_t* codes) {
  for (int s = 0; s < 8; s++) {
    for (int j = 0; j < 32; j++) codes[32 * s + j] = nibbles[32 * (s >> 1) + j] >> 4 * (s & 1) & 15;
  }
}

void take_q6k(const uint8_t* in, uint8_t* codes, uint8_t* scale) {
  for (int g = 0; g < 8; g++) {
    const uint8_t* low = in + 64 * (g >> 2) + 32 * (g & 1);
    const uint8_t* high = in + 128 + 32 * (g >> 2);
    for (int j = 0; j < 32; j++) {
      codes[32 * g + j] = static_cast<uint8_t>((low[j] >> 4 * (g >> 1 & 1) & 15) | (high[j] >> 2 * (g & 3) & 3) << 4);
    }
  }
  for (int s = 0; s < 16; s++) scale[s] = in[192 + s];
}

void take_iq4xs(const uint8_t* in, uint8_t* codes, uint8_t* scale) {
  for (int s = 0; s < 8; s++) {
    int low = in[4 + (s >> 1)] >> 4 * (s & 1) & 15;
    int high = word(in + 2) >> 2 * s & 3;
    scale[s] = static_cast<uint8_t>((low | high << 4) - 32);
    nibbles(in + 8 + 16 * s, codes + 32 * s);
  }
}

// Blocks of 256 values.
void take_super(int type, const uint8_t* in, int64_t block, StoredRow& row) {
  auto b = static_cast<size_t>(block);
  bool of16 = kTypes[type].scales == Scales::kSuper16 || kTypes[type].scales == Scales::kSuper16Min;
  size_t sub = b * (of16 ? 16 : 8);
  uint8_t* codes = &row.codes[256 * b];
  uint8_t* scale = &row.scale[sub];
  uint8_t* minimum = &row.minimum[sub];
  switch (type) {
    case MR_Q2_K:
      row.d[b] = word(in + 80);
      row.m[b] = word(in + 82);
      take_q2k(in, codes, scale, minimum);
      break;
    case MR_Q3_K:
      row.d[b] = word(in + 108);
      take_q3k(in, codes, scale);
      break;
    case MR_Q4_K:
    case MR_Q5_K:
      row.d[b] = word(in);
      row.m[b] = word(in + 2);
      six_bits(in + 4, scale, minimum);
      take_q4k(in + (type == MR_Q4_K ? 16 : 48), codes);
      for (int k = 0; type == MR_Q5_K && k < 256; k++) {
        codes[k] = static_cast<uint8_t>(codes[k] | (in[16 + k % 32] >> k / 32 & 1) << 4);
      }
      break;
    case MR_Q6_K:
      row.d[b] = word(in + 208);
      take_q6k(in, codes, scale);
      break;
    default:
      row.d[b] = word(in);
      take_iq4xs(in, codes, scale);
  }
}

}  // namespace

void take_apart(int type, const uint8_t* stored, int64_t columns, StoredRow& row) {
  const TypeInfo& info = kTypes[type];
  int64_t blocks = columns / info.block_values;
  row.codes.resize(static_cast<size_t>(columns));
  row.d.assign(static_cast<size_t>(blocks), 0);
  row.m.assign(static_cast<size_t>(blocks), 0);
  row.scale.assign(static_cast<size_t>(columns / 16), 0);
  row.minimum.assign(static_cast<size_t>(columns / 16), 0);
  for (int64_t b = 0; b < blocks; b++) {
    const uint8_t* in = stored + b * info.block_bytes;
    if (info.block_values == 32) {
      take_block(type, in, b, row);
    } else {
      take_super(type, in, b, row);
    }
  }
}

}  // namespace millrace
