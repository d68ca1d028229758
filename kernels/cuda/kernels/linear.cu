// Products with weights, all by one rule: an output is summed in chunks of 256 columns, each from zero in ascending order, and the chunks are
// added in ascending order. So the few rows of a decode, whose chunks are shared by the warps of a block (tiles.h), and the many of a prefill
// (panels.cu), where a warp takes all chunks of its outputs, get the same bits, whoever else is in the batch.
#include "kernels/tiles.h"

namespace millrace::cuda {
namespace {

template <class Math, Store kStore>
void start(cudaStream_t stream, ProductArguments& a, Way way) {
  a.sharing = way.sharing;
  a.cluster = way.cluster;
  switch (way.tiling) {
    case Tiling::kAuto: return;
    case Tiling::kRows8: return multiply_tiles<Math, kStore, 1, 1>(stream, a);
    case Tiling::kRows16: return multiply_tiles<Math, kStore, 2, 1>(stream, a);
    case Tiling::kPanels: return multiply_panels<Math, kStore>(stream, a);
    case Tiling::kWide8:
    case Tiling::kWide16:
    case Tiling::kWide32:
    case Tiling::kRows64: break;
  }
  if constexpr (Math::kBytes == 2) {
    if (way.tiling == Tiling::kWide8) return multiply_wide<Math, kStore, 1>(stream, a);
    if (way.tiling == Tiling::kWide16) return multiply_wide<Math, kStore, 2>(stream, a);
    if (way.tiling == Tiling::kWide32) return multiply_wide<Math, kStore, 4>(stream, a);
    return multiply_wide<Math, kStore, 8>(stream, a);
  }
}

}  // namespace

void multiply(cudaStream_t stream, RowCount rows, const Product& p, const Experts* experts, int chips, Way way) {
  if (way.tiling == Tiling::kAuto) way = choose_way(p, experts, rows.most, {chips, static_cast<int>(most_shared()), has_clusters()});
  ProductArguments a{p, experts ? *experts : Experts{}, rows, 1, 1, 0, 0};
  if (p.x.f32) {
    switch (p.w.store) {
      case Store::kF32: return start<F32, Store::kF32>(stream, a, way);
      case Store::kBf16: return start<F32, Store::kBf16>(stream, a, way);
      case Store::kF16: return start<F32, Store::kF16>(stream, a, way);
      case Store::kCode8: return start<F32, Store::kCode8>(stream, a, way);
      case Store::kCode4: return start<F32, Store::kCode4>(stream, a, way);
      case Store::kE4m3: return start<F32, Store::kE4m3>(stream, a, way);
    }
  }
  switch (p.w.store) {
    case Store::kF32: return;
    case Store::kBf16: return start<Bf16, Store::kBf16>(stream, a, way);
    case Store::kF16: return start<SplitBf16, Store::kF16>(stream, a, way);
    case Store::kCode8: return start<Bf16, Store::kCode8>(stream, a, way);
    case Store::kCode4: return start<Bf16, Store::kCode4>(stream, a, way);
    case Store::kE4m3: return start<Bf16, Store::kE4m3>(stream, a, way);
  }
}

}  // namespace millrace::cuda
