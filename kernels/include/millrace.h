/* Millrace's native kernels: the C ABI of a model that replays step programs. One library computes on the CPU, another on a CUDA device;
 * what only one of them has says so.
 *
 * docs/step-program.md is the contract of the ops. Every function that can fail returns MR_OK or another status, and then
 * writes a message for a person into `error` (at most `error_size` bytes with the final 0; both may be 0). No exception crosses
 * this border. Integers are 32 bits unless they count bytes. Arrays are row-major.
 *
 * Threads: a model belongs to one caller at a time; several models may be used side by side. */
#ifndef MILLRACE_H
#define MILLRACE_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Raised when a structure or the meaning of a function changes. */
#define MR_ABI_VERSION 6

enum {
  MR_OK = 0,
  /* An argument is malformed; a fault of the caller. */
  MR_INVALID = 1,
  /* Memory could not be had. */
  MR_MEMORY = 2,
  /* The program, type or machine asks for what these kernels have not got. */
  MR_UNSUPPORTED = 3,
  /* A fault of the library. */
  MR_INTERNAL = 4,
  /* A kernel faulted, or the device is gone: nothing runs on it any more in this process. */
  MR_FAULT = 5
};

/* Instruction sets. Of a CUDA device MR_ISA_AUTO, or MR_ISA_WGMMA. */
enum {
  MR_ISA_AUTO = 0,
  /* Plain C++. */
  MR_ISA_PORTABLE = 1,
  /* AVX2, FMA, F16C. */
  MR_ISA_AVX2 = 2,
  /* AVX-512 F, BW, DQ, VL, VNNI. */
  MR_ISA_AVX512 = 3,
  /* Attention of a CUDA device by products of warpgroups, over caches and heads that they take; with other bits. Of sm_90 alone. */
  MR_ISA_WGMMA = 4
};

/* How stored values are encoded; block types as GGUF files have them. */
enum {
  MR_F32 = 0,
  MR_F16 = 1,
  MR_BF16 = 2,
  MR_Q4_0 = 3,
  MR_Q4_1 = 4,
  MR_Q5_0 = 5,
  MR_Q5_1 = 6,
  MR_Q8_0 = 7,
  MR_Q2_K = 8,
  MR_Q3_K = 9,
  MR_Q4_K = 10,
  MR_Q5_K = 11,
  MR_Q6_K = 12,
  MR_IQ4_NL = 13,
  MR_IQ4_XS = 14,
  MR_TYPES = 15,
  /* Codes in groups along the columns, (code - zero) * scale: bytes. In the cache: signed bytes, one factor for each head's key and
   * value of a token. */
  MR_INT8 = 15,
  /* The same, codes of 4 bits. */
  MR_INT4 = 16,
  /* Codes of 4 bits that name one of 16 levels, times the scale of their group: NF4, FP4. */
  MR_CODEBOOK = 17,
  /* Of a CUDA device: floats of 8 bits (e4m3: 4 of the exponent, 3 of the mantissa). In the cache with factors as MR_INT8 has them; of a weight
   * codes in groups, times the scale of their group. */
  MR_FP8 = 18
};

/* What products are computed in. */
enum {
  /* int8 activations (blocks of 32) for quantised weights, bf16 ones for bf16 weights where the processor has the instruction. On a CUDA device
   * bf16 ones for all but float32 weights. */
  MR_PRECISION_NATIVE = 0,
  /* float32 throughout; the CPU widens quantised weights when they are bound. For tests, and for comparing. */
  MR_PRECISION_F32 = 1,
  /* As MR_PRECISION_NATIVE, but cuBLASLt multiplies weights of MR_FP8 that have one scale a row with activations of MR_FP8, a factor for each
   * row. Of a CUDA device from sm_89 on, with library_rows. */
  MR_PRECISION_FP8 = 2
};

typedef struct mr_model mr_model;

/* KV cache of a group of layers that share block tables. */
typedef struct mr_kv_group {
  int32_t blocks;
  int32_t layers;
  int32_t heads;
  int32_t key_dim;
  int32_t value_dim;
  /* MR_F32, MR_F16, MR_BF16, MR_INT8, or of a CUDA device MR_FP8. */
  int32_t type;
  /* Blocks of its pool on the host, where blocks may be swapped to; 0: there is none. */
  int32_t host_blocks;
} mr_kv_group;

/* A weight in groups of columns: MR_INT8, MR_INT4, MR_CODEBOOK or MR_FP8. Groups are runs of group_columns columns, a multiple of 32 that
 * divides the columns. */
typedef struct mr_groups {
  int32_t type;
  int32_t group_columns;
  /* [rows, columns], a byte each. */
  const uint8_t* codes;
  /* [rows, groups] */
  const float* scales;
  /* [rows, groups]; of MR_CODEBOOK and MR_FP8 null. */
  const uint8_t* zeros;
  /* [columns]: which value of the input each column is multiplied with; null: its own. */
  const int32_t* order;
  /* [16], of MR_CODEBOOK, from -1 to 1. */
  const float* levels;
} mr_groups;

typedef struct mr_options {
  int32_t abi_version;
  int32_t isa;
  int32_t precision;
  /* That compute, the caller's among them; at least 1. */
  int32_t threads;
  /* 1: every thread but the caller's stays on one processor. */
  int32_t pin;
  /* 1: every activation keeps memory of its own, for mr_read. */
  int32_t keep_activations;
  /* Tokens of a KV block: 16, 32, 64, 128 or 256. */
  int32_t block_tokens;
  int32_t groups;
  /* Products of so many rows and more are cuBLASLt's, whose bits depend on the rows beside; 0: none is. Only on a CUDA device, and not with
   * MR_PRECISION_F32. */
  int32_t library_rows;
  const mr_kv_group* group;
} mr_options;

/* One step, as StepInputs has it: T rows of S sequences, R logit rows, G groups. */
typedef struct mr_step {
  int32_t rows;
  int32_t sequences;
  int32_t logit_rows;
  /* Blocks in a row of block_table. */
  int32_t table_width;
  /* [T] ids within the vocabulary. */
  const int32_t* tokens;
  /* [T] */
  const int32_t* positions;
  /* [G][T] */
  const int32_t* slots;
  /* [S + 1] */
  const int32_t* query_start;
  /* [S] */
  const int32_t* context_len;
  /* [G][S][table_width] */
  const int32_t* block_table;
  /* [R] */
  const int32_t* logit_row;
  /* [R][vocabulary], written. */
  float* logits;
} mr_step;

/* Most ids that are told of as the best of a row; steps that may be submitted and not collected. */
enum { MR_TOP = 32, MR_STEPS = 2 };

/* How the id of a logit row is chosen, as the sampler of the worker does it. Places are indexes into the words of the step. */
typedef struct mr_sampling {
  /* 0: nothing is chosen, the row's logits are given back. */
  int32_t chooses;
  /* 1: the row's logits are given back too. */
  int32_t wants_logits;
  /* 0: neither bias nor penalties nor forbidden ids. */
  int32_t changes;
  /* -1: no log probabilities; else the chosen id's and as many of the best, at most MR_TOP. */
  int32_t logprobs;
  float temperature;
  int32_t top_k;
  /* Each from 0 to 1. */
  float top_p;
  float min_p;
  float typical_p;
  float presence;
  float frequency;
  float repetition;
  /* Key and counter of the random number. */
  uint32_t seed_low;
  uint32_t seed_high;
  int32_t choice;
  int32_t position;
  /* Ids so far, the first `prompt` of them the prompt's; for penalties only, otherwise 0 of them. */
  int32_t history_at;
  int32_t history_count;
  int32_t prompt;
  /* The row of the step before whose id follows the history; -1: none does. */
  int32_t last;
  /* Ids, all different, then as many floats. */
  int32_t bias_at;
  int32_t bias_count;
  /* Ids that may not be chosen. */
  int32_t suppressed_at;
  int32_t suppressed_count;
  /* [(vocabulary + 31) / 32] a bit for each id, 1 allowed; -1: all are. */
  int32_t mask_at;
  /* The id that was drafted to follow here, which the next row verifies; -1: none was. */
  int32_t draft;
} mr_sampling;

/* Drafts are verified by rows one after the other, k + 1 for k drafts: the token of each row but the first is the draft of the one before, of the
 * same sequence, and how its id is chosen takes the drafts before it for ids (in its position, its history, its mask; rows may refer to the same words).
 * Each row chooses as if it were alone. A draft is accepted when it is the id that its row before has chosen, and all before it are; the rows after the
 * first that is not are refused. So the first row, and one for each accepted draft, have chosen the ids that steps of one row would have chosen. What
 * refused rows have put into the cache is written again by whoever has their positions next. */

enum {
  MR_ROW_LEFT = 0,
  MR_ROW_CHOSEN = 1,
  /* A logit is NaN or infinite. */
  MR_ROW_BROKEN = 2,
  /* No id is left to choose. */
  MR_ROW_EMPTY = 3,
  /* It verifies what follows a draft that was not chosen; what else is said of it counts for nothing. */
  MR_ROW_REFUSED = 4
};

/* What was chosen. */
typedef struct mr_sampled {
  /* Of logprobs: the sum of e^(logit - most), the largest logit. */
  double sum;
  float most;
  int32_t status;
  int32_t id;
  /* The chosen id's, before it was changed. */
  float logit;
  /* The first that is NaN or infinite. */
  int32_t bad;
  float bad_logit;
  /* The best, the best first. */
  int32_t top_ids[MR_TOP];
  float top_logits[MR_TOP];
  /* Of a row that is the first of some that verify drafts: how many are accepted. */
  int32_t accepted;
} mr_sampled;

/* MR_ABI_VERSION of the library. */
int32_t mr_abi_version(void);

/* The best instruction set of this processor, or the one that the variable MILLRACE_ISA names (portable, avx2, avx512). When it names none
 * that this processor has, MR_ISA_PORTABLE; mr_device says so then. */
int32_t mr_isa_best(void);

/* Whether this processor and this build have it: 1 or 0. */
int32_t mr_isa_available(int32_t isa);

/* Its name; "?" for an unknown one. Static. */
const char* mr_isa_name(int32_t isa);

/* What the library computes on, as words for people: MR_OK, or MR_UNSUPPORTED and why it cannot be used. Memory of a device of its own, free
 * and in all; 0 where that is the machine's. */
int32_t mr_device(int64_t* free_bytes, int64_t* total_bytes, char* text, int64_t text_size);

/* How a weight is stored that is to be bound: in groups of columns where group_columns is not 0, in an order of its own. */
typedef struct mr_stored {
  int32_t tensor;
  int32_t type;
  int32_t group_columns;
  int32_t ordered;
} mr_stored;

/* The largest step that there will be, and the longest sequence. */
typedef struct mr_limits {
  int32_t rows;
  int32_t logit_rows;
  int32_t positions;
} mr_limits;

/* Bytes of a device's memory, beside the cache; and of the host's, pinned, for blocks that are swapped. */
typedef struct mr_need {
  int64_t weights;
  int64_t workspace;
  int64_t host;
} mr_need;

/* What a model will take of the device's memory, before it is made: its weights to the byte, when they are bound in the order of `stored`. MR_UNSUPPORTED
 * where there is no device. */
int32_t mr_memory(const mr_options* options, const int32_t* program, int64_t words, const mr_stored* stored, int32_t count, const mr_limits* limits,
                  mr_need* need, char* error, int64_t error_size);

/* Takes the workspace of the largest step now, so that no step has to ask for memory. */
int32_t mr_reserve(mr_model* model, const mr_limits* limits, char* error, int64_t error_size);

/* Makes a model from an encoded step program; weights are to be bound, rotary tables to be set. */
int32_t mr_create(const mr_options* options, const int32_t* program, int64_t words, mr_model** model, char* error, int64_t error_size);

/* Packs a weight into the form the kernels want, with all threads. `data` ([rows, columns]; a vector has 1 row) is not needed afterwards. */
int32_t mr_bind(mr_model* model, int32_t tensor, int32_t type, int64_t rows, int64_t columns, const void* data, int64_t bytes, char* error,
                int64_t error_size);

/* The same for a weight in groups. With MR_PRECISION_F32 it is kept packed too, and multiplied with float32 activations. */
int32_t mr_bind_groups(mr_model* model, int32_t tensor, int64_t rows, int64_t columns, const mr_groups* groups, char* error,
                       int64_t error_size);

/* A bound weight in its packed form, to be kept and given to a model of the same library, instruction set and precision instead of
 * packing it again. The number of its bytes is 0 when it is not bound. */
int64_t mr_packed_bytes(const mr_model* model, int32_t tensor);
int32_t mr_read_packed(mr_model* model, int32_t tensor, void* out, int64_t bytes, char* error, int64_t error_size);
int32_t mr_bind_packed(mr_model* model, int32_t tensor, const void* data, int64_t bytes, char* error, int64_t error_size);

/* Frequencies [half] of rotary table number `table`, and the factor of its cosines and sines. */
int32_t mr_rope(mr_model* model, int32_t table, const float* frequencies, int32_t half, float factor, char* error, int64_t error_size);

/* Runs one step. After a failure the cache is unknown. */
int32_t mr_run(mr_model* model, const mr_step* step, char* error, int64_t error_size);

/* How an id is drawn from a row of logits: weights exp((x - largest) * scale), of which top-k, then top-p, then min-p leave some; the one at
 * which their sum in the order of ids exceeds `uniform` of the whole. */
typedef struct mr_draw {
  /* 1 / temperature; 0: the lowest id of the largest logit. */
  double scale;
  /* In [0, 1). */
  double uniform;
  int32_t row;
  /* 0: off. */
  int32_t top_k;
  /* 1: off. */
  float top_p;
  /* 0: off; at most 1. */
  float min_p;
  /* The id that was drafted to follow here; -1: none was. The next draw is made only when this one is that id, and is MR_DRAW_REFUSED otherwise, as are
   * those after it up to the first whose draw before has no draft. */
  int32_t draft;
} mr_draw;

enum { MR_DRAW_REFUSED = -2 };

/* Draws from rows of `logits` ([..][vocabulary]), with all threads; the same ids on every instruction set. An id is -1 where a logit is NaN or
 * +infinity or all are -infinity. Only on the CPU. */
int32_t mr_draw_ids(mr_model* model, const float* logits, const mr_draw* draws, int32_t count, int32_t* ids, char* error, int64_t error_size);

/* Whether mr_submit can be used: 1 or 0. */
int32_t mr_samples(const mr_model* model);

/* Begins a step whose ids are chosen on the device, and returns while it runs. A token t < 0 is the id that logit row -1 - t of the step submitted
 * before has chosen (0 where it has not). `sampling`: [R]; nothing that is passed is needed afterwards. At most MR_STEPS are submitted and not collected. After a
 * failure what was submitted is forgotten, and the cache is unknown. */
int32_t mr_submit(mr_model* model, const mr_step* step, const mr_sampling* sampling, const int32_t* words, int64_t word_count, char* error,
                  int64_t error_size);

/* Waits for the first step that was not collected: `sampled` [R], `logits` [rows that give them back][vocabulary], in order. After a failure the
 * cache is unknown, and what was submitted is forgotten. */
int32_t mr_collect(mr_model* model, mr_sampled* sampled, float* logits, char* error, int64_t error_size);

/* Rows of logits that were copied to the host by submitted steps so far. */
int64_t mr_copied_rows(const mr_model* model);

/* What ran between two meetings of the threads, for a profiler: `ops` ops of the program, their indexes in `op`. */
enum { MR_STAGE_OPS = 16 };
typedef struct mr_stage_time {
  int64_t begin_ns;
  int64_t nanos;
  int32_t rows;
  /* Ops beyond MR_STAGE_OPS are counted here, and not named. */
  int32_t ops;
  int32_t op[MR_STAGE_OPS];
} mr_stage_time;

/* From now on each step leaves the times of its stages here, at most `room`, and their number in `count`; null ends that. Times are
 * nanoseconds of the clock CLOCK_MONOTONIC, which System.nanoTime reads too. */
int32_t mr_profile(mr_model* model, mr_stage_time* times, int32_t room, int32_t* count);

/* Copies whole blocks in all layers of a group, all reads before all writes. After a failure the cache is unknown, and what was submitted is
 * forgotten. */
int32_t mr_copy_blocks(mr_model* model, int32_t group, const int32_t* from, const int32_t* to, int32_t count, char* error,
                       int64_t error_size);

/* Swaps whole blocks, in all layers of a group: from the cache to its pool on the host, and back. In order with steps: what earlier ones have
 * written is copied, later ones may write to the blocks. On a CUDA device it returns while they are copied; nothing that is passed is needed
 * afterwards. A block is written at most once a call. Fails as mr_copy_blocks. */
int32_t mr_swap_out(mr_model* model, int32_t group, const int32_t* from, const int32_t* host_to, int32_t count, char* error, int64_t error_size);
int32_t mr_swap_in(mr_model* model, int32_t group, const int32_t* host_from, const int32_t* to, int32_t count, char* error, int64_t error_size);

/* Copies an activation of the last step, [rows, width] floats, when the model was made with keep_activations. */
int32_t mr_read(mr_model* model, int32_t tensor, float* out, int64_t floats, char* error, int64_t error_size);

/* Bytes a second from the cache to its pools on the host and back, as measured when the model was made; 0 where there are no pools. */
void mr_swap_rates(const mr_model* model, double* out, double* in);

/* Bytes of packed weights, of the cache, and of its pools on the host. */
int64_t mr_weight_bytes(const mr_model* model);
int64_t mr_cache_bytes(const mr_model* model);
int64_t mr_host_bytes(const mr_model* model);

/* Ops of the program that the last step ran. */
int64_t mr_ops(const mr_model* model);

/* Steps so far that ran as a captured graph; 0 on the CPU. */
int64_t mr_graph_steps(const mr_model* model);

/* Everything that may change bits, as a word: version, instruction set, precision. Valid as long as the model. */
const char* mr_numerics(const mr_model* model);

void mr_free(mr_model* model);

#ifdef __cplusplus
}
#endif
#endif
