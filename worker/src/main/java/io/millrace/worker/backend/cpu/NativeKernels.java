package io.millrace.worker.backend.cpu;

import static java.lang.foreign.ValueLayout.ADDRESS;
import static java.lang.foreign.ValueLayout.JAVA_DOUBLE;
import static java.lang.foreign.ValueLayout.JAVA_FLOAT;
import static java.lang.foreign.ValueLayout.JAVA_INT;
import static java.lang.foreign.ValueLayout.JAVA_LONG;

import io.millrace.shared.error.MillraceException;
import java.lang.foreign.Arena;
import java.lang.foreign.FunctionDescriptor;
import java.lang.foreign.Linker;
import java.lang.foreign.MemoryLayout;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.SymbolLookup;
import java.lang.invoke.MethodHandle;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/**
 * The C ABI of {@code kernels/include/millrace.h}. Pointers are raw addresses: what they point to must stay alive for the call.
 * Stateless but for the error buffer of the calling thread's call.
 */
final class NativeKernels {

    /** Version of the header that this class was written for. */
    static final int ABI_VERSION = 6;

    /** {@code MR_INT8}: a cache in bytes. */
    static final int INT8 = 15;

    /** {@code MR_FP8}: a cache in floats of 8 bits. */
    static final int FP8 = 18;

    private static final int ERROR_BYTES = 512;
    static final int OK = 0;
    static final int OUT_OF_MEMORY = 2;
    static final int UNSUPPORTED = 3;
    static final int FAULT = 5;

    private final Path path;
    private final NativeDevice device;
    private final Map<String, FunctionDescriptor> functions;
    private final MethodHandle isaBest;
    private final MethodHandle isaAvailable;
    private final MethodHandle isaName;
    private final MethodHandle describe;
    private final MethodHandle create;
    private final MethodHandle bind;
    private final MethodHandle bindGroups;
    private final MethodHandle packedBytes;
    private final MethodHandle readPacked;
    private final MethodHandle bindPacked;
    private final MethodHandle ops;
    private final MethodHandle rope;
    private final MethodHandle run;
    private final MethodHandle drawIds;
    private final MethodHandle memory;
    private final MethodHandle reserve;
    private final MethodHandle samples;
    private final MethodHandle submit;
    private final MethodHandle collect;
    private final MethodHandle copiedRows;
    private final MethodHandle copyBlocks;
    private final MethodHandle swapOut;
    private final MethodHandle swapIn;
    private final MethodHandle swapRates;
    private final MethodHandle hostBytes;
    private final MethodHandle weightBytes;
    private final MethodHandle cacheBytes;
    private final MethodHandle profile;
    private final MethodHandle numerics;
    private final MethodHandle free;

    private NativeKernels(Path path, NativeDevice device, SymbolLookup symbols) {
        this.path = path;
        this.device = device;
        Functions f = new Functions(symbols, new LinkedHashMap<>());
        this.isaBest = f.of("mr_isa_best", JAVA_INT);
        this.isaAvailable = f.of("mr_isa_available", JAVA_INT, JAVA_INT);
        this.isaName = f.of("mr_isa_name", ADDRESS, JAVA_INT);
        this.describe = f.of("mr_device", JAVA_INT, JAVA_LONG, JAVA_LONG, JAVA_LONG, JAVA_LONG);
        this.create = f.of("mr_create", JAVA_INT, JAVA_LONG, JAVA_LONG, JAVA_LONG, JAVA_LONG, JAVA_LONG, JAVA_LONG);
        this.bind = f.of(
                "mr_bind", JAVA_INT, JAVA_LONG, JAVA_INT, JAVA_INT, JAVA_LONG, JAVA_LONG, JAVA_LONG, JAVA_LONG,
                JAVA_LONG, JAVA_LONG);
        this.bindGroups = f.of(
                "mr_bind_groups", JAVA_INT, JAVA_LONG, JAVA_INT, JAVA_LONG, JAVA_LONG, JAVA_LONG, JAVA_LONG, JAVA_LONG);
        this.packedBytes = f.of("mr_packed_bytes", JAVA_LONG, JAVA_LONG, JAVA_INT);
        this.readPacked =
                f.of("mr_read_packed", JAVA_INT, JAVA_LONG, JAVA_INT, JAVA_LONG, JAVA_LONG, JAVA_LONG, JAVA_LONG);
        this.bindPacked =
                f.of("mr_bind_packed", JAVA_INT, JAVA_LONG, JAVA_INT, JAVA_LONG, JAVA_LONG, JAVA_LONG, JAVA_LONG);
        this.ops = f.of("mr_ops", JAVA_LONG, JAVA_LONG);
        this.rope =
                f.of("mr_rope", JAVA_INT, JAVA_LONG, JAVA_INT, JAVA_LONG, JAVA_INT, JAVA_FLOAT, JAVA_LONG, JAVA_LONG);
        this.run = f.of("mr_run", JAVA_INT, JAVA_LONG, JAVA_LONG, JAVA_LONG, JAVA_LONG);
        this.drawIds = f.of(
                "mr_draw_ids", JAVA_INT, JAVA_LONG, JAVA_LONG, JAVA_LONG, JAVA_INT, JAVA_LONG, JAVA_LONG, JAVA_LONG);
        this.memory = f.of(
                "mr_memory",
                JAVA_INT,
                JAVA_LONG,
                JAVA_LONG,
                JAVA_LONG,
                JAVA_LONG,
                JAVA_INT,
                JAVA_LONG,
                JAVA_LONG,
                JAVA_LONG,
                JAVA_LONG);
        this.reserve = f.of("mr_reserve", JAVA_INT, JAVA_LONG, JAVA_LONG, JAVA_LONG, JAVA_LONG);
        this.samples = f.of("mr_samples", JAVA_INT, JAVA_LONG);
        this.submit = f.of(
                "mr_submit", JAVA_INT, JAVA_LONG, JAVA_LONG, JAVA_LONG, JAVA_LONG, JAVA_LONG, JAVA_LONG, JAVA_LONG);
        this.collect = f.of("mr_collect", JAVA_INT, JAVA_LONG, JAVA_LONG, JAVA_LONG, JAVA_LONG, JAVA_LONG);
        this.copiedRows = f.of("mr_copied_rows", JAVA_LONG, JAVA_LONG);
        this.copyBlocks = f.of(
                "mr_copy_blocks", JAVA_INT, JAVA_LONG, JAVA_INT, JAVA_LONG, JAVA_LONG, JAVA_INT, JAVA_LONG, JAVA_LONG);
        this.swapOut = f.of(
                "mr_swap_out", JAVA_INT, JAVA_LONG, JAVA_INT, JAVA_LONG, JAVA_LONG, JAVA_INT, JAVA_LONG, JAVA_LONG);
        this.swapIn =
                f.of("mr_swap_in", JAVA_INT, JAVA_LONG, JAVA_INT, JAVA_LONG, JAVA_LONG, JAVA_INT, JAVA_LONG, JAVA_LONG);
        this.swapRates = f.of("mr_swap_rates", null, JAVA_LONG, JAVA_LONG, JAVA_LONG);
        this.hostBytes = f.of("mr_host_bytes", JAVA_LONG, JAVA_LONG);
        this.weightBytes = f.of("mr_weight_bytes", JAVA_LONG, JAVA_LONG);
        this.cacheBytes = f.of("mr_cache_bytes", JAVA_LONG, JAVA_LONG);
        this.profile = f.of("mr_profile", JAVA_INT, JAVA_LONG, JAVA_LONG, JAVA_INT, JAVA_LONG);
        this.numerics = f.of("mr_numerics", ADDRESS, JAVA_LONG);
        this.free = f.of("mr_free", null, JAVA_LONG);
        this.functions = Map.copyOf(f.found());
    }

    /** Looks functions up, and keeps how they are called. */
    private record Functions(SymbolLookup symbols, Map<String, FunctionDescriptor> found) {
        MethodHandle of(String name, @Nullable MemoryLayout result, MemoryLayout... arguments) {
            FunctionDescriptor descriptor =
                    result == null ? FunctionDescriptor.ofVoid(arguments) : FunctionDescriptor.of(result, arguments);
            found.put(name, descriptor);
            return Linker.nativeLinker().downcallHandle(symbols.findOrThrow(name), descriptor);
        }
    }

    /** How each function of the header is called. */
    Map<String, FunctionDescriptor> functions() {
        return functions;
    }

    /** Loads the library of the CPU. MR-CPU-001 when it cannot be, or is of another version. */
    static NativeKernels open(Path library) {
        return open(library, NativeDevice.CPU);
    }

    /** Loads the library of a device. Its first code when it cannot be, or is of another version. */
    static NativeKernels open(Path library, NativeDevice device) {
        try {
            SymbolLookup symbols = SymbolLookup.libraryLookup(library, Arena.global());
            MethodHandle version = new Functions(symbols, new LinkedHashMap<>()).of("mr_abi_version", JAVA_INT);
            int found = (int) version.invokeExact();
            if (found != ABI_VERSION) {
                throw new IllegalStateException("its ABI version is " + found + ", this build needs " + ABI_VERSION);
            }
            return new NativeKernels(library, device, symbols);
        } catch (Throwable e) {
            throw device.notLoadable("The kernels in " + library + " cannot be loaded: " + e.getMessage(), e);
        }
    }

    Path path() {
        return path;
    }

    NativeDevice computesOn() {
        return device;
    }

    /** Number of the best instruction set, or of the one that MILLRACE_ISA names. MR-CPU-005 when it names none that is here. */
    int bestIsa() {
        Device found = device();
        if (!found.usable()) {
            throw new MillraceException(
                    "MR-CPU-005", "No instruction set for the CPU kernels: " + found.text() + ". Correct or unset it.");
        }
        return call(() -> (int) isaBest.invokeExact());
    }

    boolean isaAvailable(int isa) {
        return call(() -> (int) isaAvailable.invokeExact(isa)) == 1;
    }

    String isaName(int isa) {
        return text(call(() -> (MemorySegment) isaName.invokeExact(isa)));
    }

    /**
     * What a library computes on.
     *
     * @param text what it is, or why it cannot be used
     * @param freeBytes of memory of its own; 0 where that is the machine's
     * @param totalBytes of it in all
     */
    record Device(boolean usable, String text, long freeBytes, long totalBytes) {}

    Device device() {
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment free = arena.allocate(JAVA_LONG);
            MemorySegment total = arena.allocate(JAVA_LONG);
            MemorySegment text = errorBuffer(arena);
            int status = call(
                    () -> (int) describe.invokeExact(free.address(), total.address(), text.address(), text.byteSize()));
            return new Device(
                    status == OK,
                    text.getString(0, StandardCharsets.UTF_8),
                    free.get(JAVA_LONG, 0),
                    total.get(JAVA_LONG, 0));
        }
    }

    /**
     * Bytes of a device's memory, beside the cache.
     *
     * @param workspace of the largest step
     * @param host of the host's memory, for blocks that are swapped out
     */
    record Need(long weights, long workspace, long host) {}

    /** What a model will take; {@code stored} as {@link CpuWeights#stored}, {@code limits} as {@link #limits}. */
    Need memory(MemorySegment options, int[] program, int[] stored, int[] limits) {
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment words = arena.allocateFrom(JAVA_INT, program);
            MemorySegment weights = arena.allocateFrom(JAVA_INT, stored);
            MemorySegment most = arena.allocateFrom(JAVA_INT, limits);
            MemorySegment need = arena.allocate(Structs.NEED);
            checked(arena, error -> (int) memory.invokeExact(
                    options.address(),
                    words.address(),
                    (long) program.length,
                    weights.address(),
                    (int) (weights.byteSize() / Structs.STORED.byteSize()),
                    most.address(),
                    need.address(),
                    error.address(),
                    error.byteSize()));
            return new Need(
                    need.get(JAVA_LONG, Structs.at(Structs.NEED, "weights")),
                    need.get(JAVA_LONG, Structs.at(Structs.NEED, "workspace")),
                    need.get(JAVA_LONG, Structs.at(Structs.NEED, "host")));
        }
    }

    /** Takes the workspace of the largest step now. */
    void reserve(long model, int[] limits) {
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment most = arena.allocateFrom(JAVA_INT, limits);
            checked(arena, error ->
                    (int) reserve.invokeExact(model, most.address(), error.address(), error.byteSize()));
        }
    }

    /** A model; its address. */
    long create(MemorySegment options, MemorySegment program, long words) {
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment model = arena.allocate(ADDRESS);
            checked(arena, error -> (int) create.invokeExact(
                    options.address(), program.address(), words, model.address(), error.address(), error.byteSize()));
            return model.get(JAVA_LONG, 0);
        }
    }

    void bind(long model, int tensor, int type, long rows, long columns, MemorySegment data) {
        try (Arena arena = Arena.ofConfined()) {
            checked(arena, error -> (int) bind.invokeExact(
                    model,
                    tensor,
                    type,
                    rows,
                    columns,
                    data.address(),
                    data.byteSize(),
                    error.address(),
                    error.byteSize()));
        }
    }

    /** {@code groups}: {@code mr_groups}. */
    void bindGroups(long model, int tensor, long rows, long columns, MemorySegment groups) {
        try (Arena arena = Arena.ofConfined()) {
            checked(arena, error -> (int) bindGroups.invokeExact(
                    model, tensor, rows, columns, groups.address(), error.address(), error.byteSize()));
        }
    }

    /** A bound weight in its packed form. */
    MemorySegment packed(long model, int tensor, Arena arena) {
        MemorySegment out = arena.allocate(call(() -> (long) packedBytes.invokeExact(model, tensor)), 64);
        checked(arena, error -> (int) readPacked.invokeExact(
                model, tensor, out.address(), out.byteSize(), error.address(), error.byteSize()));
        return out;
    }

    /** Binds a weight of which {@link #packed} gave the form. */
    void bindPacked(long model, int tensor, MemorySegment packed) {
        try (Arena arena = Arena.ofConfined()) {
            checked(arena, error -> (int) bindPacked.invokeExact(
                    model, tensor, packed.address(), packed.byteSize(), error.address(), error.byteSize()));
        }
    }

    /** Ops of the program that the last step ran. */
    long ops(long model) {
        return call(() -> (long) ops.invokeExact(model));
    }

    /** Bytes of the packed weights. */
    long weightBytes(long model) {
        return call(() -> (long) weightBytes.invokeExact(model));
    }

    /** Bytes of the cache. */
    long cacheBytes(long model) {
        return call(() -> (long) cacheBytes.invokeExact(model));
    }

    void rope(long model, int table, float[] frequencies, float factor) {
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment values = arena.allocateFrom(JAVA_FLOAT, frequencies);
            checked(arena, error -> (int) rope.invokeExact(
                    model, table, values.address(), frequencies.length, factor, error.address(), error.byteSize()));
        }
    }

    /** Runs a step. {@code error}: room for a message. */
    void run(long model, MemorySegment step, MemorySegment error) {
        int status = call(() -> (int) run.invokeExact(model, step.address(), error.address(), error.byteSize()));
        check(status, error);
    }

    /** Whether {@link #draw} is there. */
    boolean draws() {
        return device == NativeDevice.CPU;
    }

    /** Draws ids: {@code draws} holds {@code count} of {@code mr_draw}, {@code ids} gets as many ints. {@code error}: room for a message. */
    void draw(
            long model, MemorySegment logits, MemorySegment draws, int count, MemorySegment ids, MemorySegment error) {
        int status = call(() -> (int) drawIds.invokeExact(
                model, logits.address(), draws.address(), count, ids.address(), error.address(), error.byteSize()));
        check(status, error);
    }

    /** Whether the model chooses ids itself. */
    boolean samples(long model) {
        return call(() -> (int) samples.invokeExact(model)) == 1;
    }

    /** Begins a step. {@code sampling} and {@code words} as {@link ChoiceBuffer} has them. */
    void submit(long model, MemorySegment step, MemorySegment sampling, MemorySegment words, MemorySegment error) {
        int status = call(() -> (int) submit.invokeExact(
                model,
                step.address(),
                sampling.address(),
                words.address(),
                words.byteSize() / Integer.BYTES,
                error.address(),
                error.byteSize()));
        check(status, error);
    }

    /** Waits for the oldest step. */
    void collect(long model, MemorySegment sampled, MemorySegment logits, MemorySegment error) {
        int status = call(() -> (int)
                collect.invokeExact(model, sampled.address(), logits.address(), error.address(), error.byteSize()));
        check(status, error);
    }

    /** Logit rows that submitted steps gave back. */
    long copiedRows(long model) {
        return call(() -> (long) copiedRows.invokeExact(model));
    }

    void copyBlocks(long model, int group, int[] from, int[] to) {
        move(copyBlocks, model, group, from, to);
    }

    /** Copies blocks to the host's pool, in order with steps. */
    void swapOut(long model, int group, int[] from, int[] hostTo) {
        move(swapOut, model, group, from, hostTo);
    }

    /** Copies blocks back from the host's pool, in order with steps. */
    void swapIn(long model, int group, int[] hostFrom, int[] to) {
        move(swapIn, model, group, hostFrom, to);
    }

    private void move(MethodHandle how, long model, int group, int[] from, int[] to) {
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment source = arena.allocateFrom(JAVA_INT, from);
            MemorySegment target = arena.allocateFrom(JAVA_INT, to);
            checked(arena, error -> (int) how.invokeExact(
                    model, group, source.address(), target.address(), from.length, error.address(), error.byteSize()));
        }
    }

    /** Bytes of the cache's pools on the host. */
    long hostBytes(long model) {
        return call(() -> (long) hostBytes.invokeExact(model));
    }

    /**
     * Bytes a second between the cache and its pools on the host, as measured when the model was made; 0 where there are none.
     *
     * @param out to the host
     * @param in back
     */
    record SwapRates(double out, double in) {}

    SwapRates swapRates(long model) {
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment rates = arena.allocate(JAVA_DOUBLE, 2);
            call(() -> {
                swapRates.invokeExact(model, rates.address(), rates.address() + Double.BYTES);
                return 0;
            });
            return new SwapRates(rates.getAtIndex(JAVA_DOUBLE, 0), rates.getAtIndex(JAVA_DOUBLE, 1));
        }
    }

    /** Steps leave the times of their stages in {@code times}, and their number in {@code count}; null segments end that. */
    void profile(long model, MemorySegment times, int room, MemorySegment count) {
        int status = call(() -> (int) profile.invokeExact(model, times.address(), room, count.address()));
        if (status != OK) {
            throw device.failed("the times of steps cannot be taken (status " + status + ")");
        }
    }

    String numerics(long model) {
        return text(call(() -> (MemorySegment) numerics.invokeExact(model)));
    }

    void free(long model) {
        call(() -> {
            free.invokeExact(model);
            return 0;
        });
    }

    /** A buffer for messages. */
    static MemorySegment errorBuffer(Arena arena) {
        return arena.allocate(ERROR_BYTES);
    }

    private static String text(MemorySegment pointer) {
        return pointer.reinterpret(256).getString(0, StandardCharsets.UTF_8);
    }

    @FunctionalInterface
    private interface Call<T> {
        T run() throws Throwable;
    }

    @FunctionalInterface
    private interface Checked {
        int run(MemorySegment error) throws Throwable;
    }

    private static <T> T call(Call<T> call) {
        try {
            return call.run();
        } catch (RuntimeException | Error e) {
            throw e;
        } catch (Throwable e) {
            throw new IllegalStateException("a downcall threw", e);
        }
    }

    private void checked(Arena arena, Checked body) {
        MemorySegment error = errorBuffer(arena);
        check(call(() -> body.run(error)), error);
    }

    /** MR-MEM-001, or what the device calls its failures, with the library's words. */
    private void check(int status, MemorySegment error) {
        if (status != OK) {
            String message = error.getString(0, StandardCharsets.UTF_8);
            throw switch (status) {
                case OUT_OF_MEMORY ->
                    new MillraceException(
                            "MR-MEM-001",
                            "The kernels ran out of memory: " + message
                                    + ". Lower --kv-memory, --max-model-len or millrace.worker.kv-host-memory.");
                case UNSUPPORTED -> device.unsupported(message);
                case FAULT -> device.lost(message);
                default -> device.failed(message);
            };
        }
    }
}
