// Stored weights into panels, and back.
#pragma once
#include <cstdint>

#include "types.h"

namespace millrace {

// Sizes of the packed form, without data. `width` is the number of panels that a tile takes. Columns are whole blocks.
Packed layout(int type, int64_t rows, int64_t columns, int lanes, int width);

// The same of a type in groups of columns; group_columns, order, levels and float_rows are to be set before.
void layout_groups(Packed& packed, int type, int64_t rows, int64_t columns, int lanes, int width);

// Bytes of all groups.
int64_t packed_bytes(const Packed& packed);

// Bytes of a stored row.
int64_t row_bytes(int type, int64_t columns);

// Packs one group into `out`, group_bytes long. `stored`: its first row. `offset`: signed codes get 128 added.
void pack_group(const Packed& packed, const uint8_t* stored, int group, bool offset, uint8_t* out);

// Packs group `group` of a weight in groups of columns. `offset` as above.
void pack_grouped(const Packed& packed, const mr_groups& stored, int group, bool offset, uint8_t* out);

// Values of a row of such a weight, columns in the order of its input.
void widen_grouped(const mr_groups& stored, int64_t row, int64_t columns, float* out);

// Values of one row, as the type defines them: products in float32, no fused multiply-add.
void unpack_row(const Packed& packed, int row, bool offset, float* out);

// Values of a stored row.
void widen_row(int type, const uint8_t* stored, int64_t columns, float* out);

}  // namespace millrace
