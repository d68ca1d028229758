package io.millrace.worker.backend.cpu;

import static java.lang.foreign.ValueLayout.ADDRESS;
import static java.lang.foreign.ValueLayout.JAVA_INT;
import static java.lang.foreign.ValueLayout.JAVA_LONG;

import io.millrace.worker.backend.KvOptions;
import io.millrace.worker.backend.KvType;
import io.millrace.worker.backend.LoadProgress;
import io.millrace.worker.backend.ModelRuntime;
import io.millrace.worker.model.Golden;
import java.lang.foreign.Arena;
import java.lang.foreign.FunctionDescriptor;
import java.lang.foreign.Linker;
import java.lang.foreign.MemoryLayout;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.SymbolLookup;
import java.lang.invoke.MethodHandle;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import org.jspecify.annotations.Nullable;

/** The library that writes the calls of the C ABI down and computes nothing ({@code kernels/test/recording}). Its state is the process's. */
public final class RecordingKernels {

    public static final int MEMORY = 2;
    public static final int UNSUPPORTED = 3;
    public static final int INTERNAL = 4;
    public static final int FAULT = 5;

    /** One call, and what it was given. */
    public record Call(String function, Map<String, String> arguments) {

        /** Values of an array. */
        public int[] ints(String name) {
            String list = text(name);
            return list.isEmpty()
                    ? new int[0]
                    : Arrays.stream(list.split(",")).mapToInt(Integer::parseInt).toArray();
        }

        public long number(String name) {
            return Long.parseLong(text(name));
        }

        public boolean has(String name) {
            return arguments.containsKey(name);
        }

        public String text(String name) {
            return Objects.requireNonNull(arguments.get(name), () -> "no " + name + " in " + this);
        }

        /** Whether it was told to fail. */
        public boolean failed() {
            return has("status");
        }
    }

    private RecordingKernels() {}

    /** Skips the calling test, saying why, when it was not built. */
    public static Path library() {
        return EmulatedCuda.built("millrace_recording", "the kernels that record their calls are");
    }

    /** The same without {@code mr_submit}. */
    static Path partial() {
        return EmulatedCuda.built("millrace_recording_partial", "the kernels that lack a function are");
    }

    /** A model with a cache of so many blocks of 16 tokens, on what is the device of the CUDA engine. */
    public static ModelRuntime load(String golden, int blocks) {
        return load(golden, blocks, 0);
    }

    /** The same with memory of the host for blocks that are swapped out. */
    public static ModelRuntime load(String golden, int blocks, long hostBytes) {
        KvOptions options = new KvOptions(16, blocks, 0, 0, KvType.BF16).withHostBytes(hostBytes);
        return CpuModels.load(
                Golden.path(golden),
                (decoder, source) -> CudaBackend.load(
                        library(),
                        decoder,
                        source,
                        options,
                        1,
                        CpuSettings.DEFAULT,
                        EmulatedCuda.LIMITS,
                        LoadProgress.NONE));
    }

    /** Forgets all calls, and what was to fail. */
    public static void reset() {
        call("recording_reset", null);
    }

    /** The call of a function after {@code before} others fails, once. */
    public static void fail(String function, int before, int status) {
        try (Arena arena = Arena.ofConfined()) {
            call(
                    "recording_fail",
                    null,
                    arena.allocateFrom(function),
                    before,
                    status,
                    arena.allocateFrom("told to fail in " + function));
        }
    }

    /** What the library says of itself and its device from now on. */
    static void pretend(int version, int deviceStatus, long freeBytes, long weights, long workspace) {
        call("recording_pretend", null, version, deviceStatus, freeBytes, weights, workspace);
    }

    /** Models that were made and not freed. */
    public static long models() {
        return call("recording_models", JAVA_LONG);
    }

    /** All calls since {@link #reset}. */
    public static List<Call> calls() {
        long bytes = call("recording_read", JAVA_LONG, MemorySegment.NULL, 0L);
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment text = arena.allocate(bytes);
            call("recording_read", JAVA_LONG, text, bytes);
            return text.getString(0, StandardCharsets.UTF_8)
                    .lines()
                    .map(RecordingKernels::parsed)
                    .toList();
        }
    }

    /** Those of one function. */
    public static List<Call> calls(String function) {
        return calls().stream().filter(c -> c.function().equals(function)).toList();
    }

    /** The id that the library chooses after a token. */
    public static int next(int token, int position, int vocabulary) {
        return (7 * token + 3 * position + 1) % vocabulary;
    }

    private static Call parsed(String line) {
        String[] words = line.split(" ");
        Map<String, String> arguments = new LinkedHashMap<>();
        for (int i = 1; i < words.length; i++) {
            int at = words[i].indexOf('=');
            arguments.put(words[i].substring(0, at), words[i].substring(at + 1));
        }
        return new Call(words[0], arguments);
    }

    private static long call(String function, @Nullable MemoryLayout result, Object... arguments) {
        MemoryLayout[] layouts = new MemoryLayout[arguments.length];
        for (int i = 0; i < layouts.length; i++) {
            layouts[i] =
                    arguments[i] instanceof Integer ? JAVA_INT : arguments[i] instanceof Long ? JAVA_LONG : ADDRESS;
        }
        MethodHandle handle = Linker.nativeLinker()
                .downcallHandle(
                        SymbolLookup.libraryLookup(library(), Arena.global()).findOrThrow(function),
                        result == null ? FunctionDescriptor.ofVoid(layouts) : FunctionDescriptor.of(result, layouts));
        try {
            Object out = handle.invokeWithArguments(arguments);
            return out instanceof Long value ? value : 0;
        } catch (Throwable e) {
            throw new AssertionError(e);
        }
    }
}
