package io.millrace.worker.backend.cpu;

import static java.lang.foreign.ValueLayout.JAVA_DOUBLE;
import static java.lang.foreign.ValueLayout.JAVA_FLOAT;
import static java.lang.foreign.ValueLayout.JAVA_INT;
import static java.lang.foreign.ValueLayout.JAVA_LONG;

import java.lang.foreign.MemoryLayout;
import java.lang.foreign.MemoryLayout.PathElement;
import java.lang.foreign.StructLayout;
import java.util.ArrayList;
import java.util.List;

/** The structures of {@code kernels/include/millrace.h}, with the names that they and their fields have there. Pointers are raw addresses. */
final class Structs {

    /** Most ids that are told of as the best of a row. */
    static final int TOP = 32;

    /** Ops of a stage that are named. */
    static final int STAGE_OPS = 16;

    static final StructLayout KV_GROUP =
            struct("mr_kv_group", of(JAVA_INT, "blocks layers heads key_dim value_dim type host_blocks"));

    static final StructLayout GROUPS =
            struct("mr_groups", of(JAVA_INT, "type group_columns"), of(JAVA_LONG, "codes scales zeros order levels"));

    static final StructLayout OPTIONS = struct(
            "mr_options",
            of(JAVA_INT, "abi_version isa precision threads pin keep_activations block_tokens groups library_rows"),
            of(JAVA_LONG, "group"));

    static final StructLayout STEP = struct(
            "mr_step",
            of(JAVA_INT, "rows sequences logit_rows table_width"),
            of(JAVA_LONG, "tokens positions slots query_start context_len block_table logit_row logits"));

    static final StructLayout SAMPLING = struct(
            "mr_sampling",
            of(JAVA_INT, "chooses wants_logits changes logprobs"),
            of(JAVA_FLOAT, "temperature"),
            of(JAVA_INT, "top_k"),
            of(JAVA_FLOAT, "top_p min_p typical_p presence frequency repetition"),
            of(JAVA_INT, "seed_low seed_high choice position history_at history_count prompt last"),
            of(JAVA_INT, "bias_at bias_count suppressed_at suppressed_count mask_at draft"));

    static final StructLayout SAMPLED = struct(
            "mr_sampled",
            of(JAVA_DOUBLE, "sum"),
            of(JAVA_FLOAT, "most"),
            of(JAVA_INT, "status id"),
            of(JAVA_FLOAT, "logit"),
            of(JAVA_INT, "bad"),
            of(JAVA_FLOAT, "bad_logit"),
            of(MemoryLayout.sequenceLayout(TOP, JAVA_INT), "top_ids"),
            of(MemoryLayout.sequenceLayout(TOP, JAVA_FLOAT), "top_logits"),
            of(JAVA_INT, "accepted"));

    static final StructLayout STORED = struct("mr_stored", of(JAVA_INT, "tensor type group_columns ordered"));

    static final StructLayout LIMITS = struct("mr_limits", of(JAVA_INT, "rows logit_rows positions"));

    static final StructLayout NEED = struct("mr_need", of(JAVA_LONG, "weights workspace host"));

    static final StructLayout DRAW = struct(
            "mr_draw",
            of(JAVA_DOUBLE, "scale uniform"),
            of(JAVA_INT, "row top_k"),
            of(JAVA_FLOAT, "top_p min_p"),
            of(JAVA_INT, "draft"));

    static final StructLayout STAGE_TIME = struct(
            "mr_stage_time",
            of(JAVA_LONG, "begin_ns nanos"),
            of(JAVA_INT, "rows ops"),
            of(MemoryLayout.sequenceLayout(STAGE_OPS, JAVA_INT), "op"));

    /** All of them. */
    static final List<StructLayout> ALL =
            List.of(KV_GROUP, GROUPS, OPTIONS, STEP, SAMPLING, SAMPLED, STORED, LIMITS, NEED, DRAW, STAGE_TIME);

    private Structs() {}

    /** Where a field begins, in bytes. */
    static long at(StructLayout struct, String field) {
        return struct.byteOffset(PathElement.groupElement(field));
    }

    /** Where a field begins, in words of four bytes. */
    static int word(StructLayout struct, String field) {
        return (int) at(struct, field) / Integer.BYTES;
    }

    private static List<MemoryLayout> of(MemoryLayout type, String names) {
        List<MemoryLayout> fields = new ArrayList<>();
        for (String name : names.split(" ", -1)) {
            fields.add(type.withName(name));
        }
        return fields;
    }

    /** As C lays it out: each field at the next multiple of its alignment, the whole filled up to that of the largest. */
    @SafeVarargs
    private static StructLayout struct(String name, List<MemoryLayout>... fields) {
        List<MemoryLayout> all = new ArrayList<>();
        long at = 0;
        long alignment = 1;
        for (List<MemoryLayout> run : fields) {
            for (MemoryLayout field : run) {
                at = fill(all, at, field.byteAlignment()) + field.byteSize();
                all.add(field);
                alignment = Math.max(alignment, field.byteAlignment());
            }
        }
        fill(all, at, alignment);
        return MemoryLayout.structLayout(all.toArray(MemoryLayout[]::new)).withName(name);
    }

    private static long fill(List<MemoryLayout> all, long at, long alignment) {
        long bytes = Math.floorMod(-at, alignment);
        if (bytes > 0) {
            all.add(MemoryLayout.paddingLayout(bytes));
        }
        return at + bytes;
    }
}
