// The C ABI.
#include <cstdio>
#include <exception>
#include <new>

#include "error.h"
#if MILLRACE_CUDA
#include "../cuda/model.h"
#include "../cuda/needs.h"
#else
#include "isa.h"
#include "model.h"
#endif

#define MR_EXPORT extern "C" __attribute__((visibility("default")))

#if MILLRACE_CUDA
using Model = millrace::cuda::Model;
#else
using Model = millrace::Model;
#endif

struct mr_model {
  mr_model(const mr_options& options, const int32_t* program, int64_t words) : model(options, program, words) {}

  Model model;
};

namespace {

int32_t report(int32_t status, const char* message, char* error, int64_t error_size) {
  if (error && error_size > 0) std::snprintf(error, static_cast<size_t>(error_size), "%s", message);
  return status;
}

template <class Body>
int32_t guarded(char* error, int64_t error_size, Body body) {
  try {
    body();
    return MR_OK;
  } catch (const millrace::Error& e) {
    return report(e.status, e.message.c_str(), error, error_size);
  } catch (const std::bad_alloc&) {
    return report(MR_MEMORY, "memory could not be had", error, error_size);
  } catch (const std::exception& e) {
    return report(MR_INTERNAL, e.what(), error, error_size);
  } catch (...) {
    return report(MR_INTERNAL, "unknown failure", error, error_size);
  }
}

void require(const void* pointer, const char* name) {
  if (!pointer) millrace::fail(MR_INVALID, "%s is null", name);
}

}  // namespace

MR_EXPORT int32_t mr_abi_version(void) { return MR_ABI_VERSION; }

#if MILLRACE_CUDA
MR_EXPORT int32_t mr_isa_best(void) { return MR_ISA_AUTO; }

MR_EXPORT int32_t mr_isa_available(int32_t isa) { return isa == MR_ISA_AUTO ? 1 : 0; }

MR_EXPORT const char* mr_isa_name(int32_t isa) { return isa == MR_ISA_AUTO ? "auto" : "?"; }

MR_EXPORT int32_t mr_device(int64_t* free_bytes, int64_t* total_bytes, char* text, int64_t text_size) {
  const millrace::cuda::DeviceInfo info = millrace::cuda::device_info();
  if (free_bytes) *free_bytes = info.free_bytes;
  if (total_bytes) *total_bytes = info.total_bytes;
  return report(info.usable ? MR_OK : MR_UNSUPPORTED, info.text.c_str(), text, text_size);
}
#else
MR_EXPORT int32_t mr_isa_best(void) {
  int32_t isa = MR_ISA_PORTABLE;
  guarded(nullptr, 0, [&] { isa = millrace::isa_best(); });
  return isa;
}

MR_EXPORT int32_t mr_isa_available(int32_t isa) { return millrace::isa_available(isa) ? 1 : 0; }

MR_EXPORT const char* mr_isa_name(int32_t isa) { return millrace::isa_name(isa); }

MR_EXPORT int32_t mr_device(int64_t* free_bytes, int64_t* total_bytes, char* text, int64_t text_size) {
  if (free_bytes) *free_bytes = 0;
  if (total_bytes) *total_bytes = 0;
  return guarded(text, text_size, [&] { report(MR_OK, mr_isa_name(millrace::isa_best()), text, text_size); });
}
#endif

MR_EXPORT int32_t mr_create(const mr_options* options, const int32_t* program, int64_t words, mr_model** model, char* error,
                            int64_t error_size) {
  return guarded(error, error_size, [&] {
    require(options, "options");
    require(program, "program");
    require(model, "model");
    *model = new mr_model(*options, program, words);
  });
}

MR_EXPORT int32_t mr_bind(mr_model* model, int32_t tensor, int32_t type, int64_t rows, int64_t columns, const void* data, int64_t bytes,
                          char* error, int64_t error_size) {
  return guarded(error, error_size, [&] {
    require(model, "model");
    require(data, "data");
    model->model.bind(tensor, type, rows, columns, data, bytes);
  });
}

MR_EXPORT int32_t mr_bind_groups(mr_model* model, int32_t tensor, int64_t rows, int64_t columns, const mr_groups* groups, char* error,
                                 int64_t error_size) {
  return guarded(error, error_size, [&] {
    require(model, "model");
    require(groups, "groups");
    require(groups->codes, "codes");
    require(groups->scales, "scales");
    model->model.bind_groups(tensor, rows, columns, *groups);
  });
}

MR_EXPORT int64_t mr_packed_bytes(const mr_model* model, int32_t tensor) { return model->model.saved_bytes(tensor); }

MR_EXPORT int32_t mr_read_packed(mr_model* model, int32_t tensor, void* out, int64_t bytes, char* error, int64_t error_size) {
  return guarded(error, error_size, [&] {
    require(model, "model");
    require(out, "out");
    model->model.save(tensor, static_cast<uint8_t*>(out), bytes);
  });
}

MR_EXPORT int32_t mr_bind_packed(mr_model* model, int32_t tensor, const void* data, int64_t bytes, char* error, int64_t error_size) {
  return guarded(error, error_size, [&] {
    require(model, "model");
    require(data, "data");
    model->model.restore(tensor, static_cast<const uint8_t*>(data), bytes);
  });
}

MR_EXPORT int32_t mr_rope(mr_model* model, int32_t table, const float* frequencies, int32_t half, float factor, char* error,
                          int64_t error_size) {
  return guarded(error, error_size, [&] {
    require(model, "model");
    require(frequencies, "frequencies");
    model->model.rope(table, frequencies, half, factor);
  });
}

MR_EXPORT int32_t mr_run(mr_model* model, const mr_step* step, char* error, int64_t error_size) {
  return guarded(error, error_size, [&] {
    require(model, "model");
    require(step, "step");
    model->model.run(*step);
  });
}

MR_EXPORT int32_t mr_draw_ids(mr_model* model, const float* logits, const mr_draw* draws, int32_t count, int32_t* ids, char* error,
                              int64_t error_size) {
  return guarded(error, error_size, [&] {
    require(model, "model");
    require(logits, "logits");
    require(draws, "draws");
    require(ids, "ids");
#if MILLRACE_CUDA
    (void)count;
    millrace::fail(MR_UNSUPPORTED, "ids are not drawn on a CUDA device");
#else
    model->model.draw(logits, draws, count, ids);
#endif
  });
}

#if MILLRACE_CUDA
MR_EXPORT int32_t mr_memory(const mr_options* options, const int32_t* program, int64_t words, const mr_stored* stored, int32_t count,
                            const mr_limits* limits, mr_need* need, char* error, int64_t error_size) {
  return guarded(error, error_size, [&] {
    require(options, "options");
    require(program, "program");
    require(limits, "limits");
    require(need, "need");
    *need = millrace::cuda::memory_of(*options, program, words, stored, count, *limits);
  });
}

MR_EXPORT int32_t mr_reserve(mr_model* model, const mr_limits* limits, char* error, int64_t error_size) {
  return guarded(error, error_size, [&] {
    require(model, "model");
    require(limits, "limits");
    model->model.reserve(*limits);
  });
}

MR_EXPORT int32_t mr_samples(const mr_model* model) { return model->model.samples() ? 1 : 0; }

MR_EXPORT int32_t mr_submit(mr_model* model, const mr_step* step, const mr_sampling* sampling, const int32_t* words, int64_t word_count, char* error,
                            int64_t error_size) {
  return guarded(error, error_size, [&] {
    require(model, "model");
    require(step, "step");
    model->model.submit(*step, sampling, words, word_count);
  });
}

MR_EXPORT int32_t mr_collect(mr_model* model, mr_sampled* sampled, float* logits, char* error, int64_t error_size) {
  return guarded(error, error_size, [&] {
    require(model, "model");
    model->model.collect(sampled, logits);
  });
}

MR_EXPORT int64_t mr_copied_rows(const mr_model* model) { return model->model.copied_rows(); }
#else
MR_EXPORT int32_t mr_memory(const mr_options*, const int32_t*, int64_t, const mr_stored*, int32_t, const mr_limits*, mr_need*, char* error,
                            int64_t error_size) {
  return report(MR_UNSUPPORTED, "the CPU kernels take the machine's memory", error, error_size);
}

MR_EXPORT int32_t mr_reserve(mr_model*, const mr_limits*, char* error, int64_t error_size) {
  return report(MR_UNSUPPORTED, "the CPU kernels take the machine's memory", error, error_size);
}

MR_EXPORT int32_t mr_samples(const mr_model*) { return 0; }

MR_EXPORT int32_t mr_submit(mr_model*, const mr_step*, const mr_sampling*, const int32_t*, int64_t, char* error, int64_t error_size) {
  return report(MR_UNSUPPORTED, "the CPU kernels choose no ids", error, error_size);
}

MR_EXPORT int32_t mr_collect(mr_model*, mr_sampled*, float*, char* error, int64_t error_size) {
  return report(MR_UNSUPPORTED, "the CPU kernels choose no ids", error, error_size);
}

MR_EXPORT int64_t mr_copied_rows(const mr_model*) { return 0; }
#endif

MR_EXPORT int32_t mr_profile(mr_model* model, mr_stage_time* times, int32_t room, int32_t* count) {
  return guarded(nullptr, 0, [&] {
    require(model, "model");
    model->model.profile({times, room, count});
  });
}

MR_EXPORT int32_t mr_copy_blocks(mr_model* model, int32_t group, const int32_t* from, const int32_t* to, int32_t count, char* error,
                                 int64_t error_size) {
  return guarded(error, error_size, [&] {
    require(model, "model");
    model->model.copy_blocks(group, from, to, count);
  });
}

MR_EXPORT int32_t mr_swap_out(mr_model* model, int32_t group, const int32_t* from, const int32_t* host_to, int32_t count, char* error,
                              int64_t error_size) {
  return guarded(error, error_size, [&] {
    require(model, "model");
    model->model.swap_out(group, from, host_to, count);
  });
}

MR_EXPORT int32_t mr_swap_in(mr_model* model, int32_t group, const int32_t* host_from, const int32_t* to, int32_t count, char* error,
                             int64_t error_size) {
  return guarded(error, error_size, [&] {
    require(model, "model");
    model->model.swap_in(group, host_from, to, count);
  });
}

MR_EXPORT int32_t mr_read(mr_model* model, int32_t tensor, float* out, int64_t floats, char* error, int64_t error_size) {
  return guarded(error, error_size, [&] {
    require(model, "model");
    model->model.read(tensor, out, floats);
  });
}

MR_EXPORT int64_t mr_weight_bytes(const mr_model* model) { return model->model.weight_bytes(); }

MR_EXPORT int64_t mr_ops(const mr_model* model) { return model->model.ops_of_last_step(); }

#if MILLRACE_CUDA
MR_EXPORT int64_t mr_graph_steps(const mr_model* model) { return model->model.graph_steps(); }
#else
MR_EXPORT int64_t mr_graph_steps(const mr_model*) { return 0; }
#endif

MR_EXPORT int64_t mr_cache_bytes(const mr_model* model) { return model->model.cache_bytes(); }

MR_EXPORT int64_t mr_host_bytes(const mr_model* model) { return model->model.host_bytes(); }

MR_EXPORT void mr_swap_rates(const mr_model* model, double* out, double* in) {
  const millrace::SwapRates rates = model->model.swap_rates();
  *out = rates.out;
  *in = rates.in;
}

MR_EXPORT const char* mr_numerics(const mr_model* model) { return model->model.numerics().c_str(); }

MR_EXPORT void mr_free(mr_model* model) { delete model; }
