package io.millrace.worker.gpu;

import static java.lang.foreign.ValueLayout.ADDRESS;
import static java.lang.foreign.ValueLayout.JAVA_INT;
import static java.lang.foreign.ValueLayout.JAVA_LONG;

import java.lang.foreign.Arena;
import java.lang.foreign.FunctionDescriptor;
import java.lang.foreign.Linker;
import java.lang.foreign.MemoryLayout;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.SymbolLookup;
import java.lang.invoke.MethodHandle;
import java.util.ArrayList;
import java.util.List;
import java.util.NoSuchElementException;
import java.util.Optional;
import java.util.OptionalDouble;
import org.jspecify.annotations.Nullable;

/**
 * NVIDIA's management library (https://docs.nvidia.com/deploy/nvml-api/), opened when it is there. Thread-safe, as the library is.
 */
public final class Nvml implements AutoCloseable {

    /** The library's name on Linux. */
    public static final String LIBRARY = "libnvidia-ml.so.1";

    private static final int NAME_BYTES = 96;
    private static final int SENSOR_GPU = 0;
    private static final MemoryLayout UTILIZATION = MemoryLayout.structLayout(JAVA_INT, JAVA_INT);
    private static final MemoryLayout MEMORY = MemoryLayout.structLayout(JAVA_LONG, JAVA_LONG, JAVA_LONG);

    /** A processor. */
    public record Device(int index, String name, String uuid, MemorySegment handle) {}

    /** Bytes of a processor's memory. */
    public record Memory(long totalBytes, long usedBytes) {}

    private final Arena arena;
    private final MethodHandle shutdown;
    private final MethodHandle utilization;
    private final MethodHandle memory;
    private final MethodHandle power;
    private final MethodHandle temperature;
    private final List<Device> devices;

    private Nvml(Arena arena, SymbolLookup library) {
        this.arena = arena;
        check(call(bind(library, "nvmlInit_v2")));
        this.shutdown = bind(library, "nvmlShutdown");
        this.utilization = bind(library, "nvmlDeviceGetUtilizationRates", ADDRESS, ADDRESS);
        this.memory = bind(library, "nvmlDeviceGetMemoryInfo", ADDRESS, ADDRESS);
        this.power = bind(library, "nvmlDeviceGetPowerUsage", ADDRESS, ADDRESS);
        this.temperature = bind(library, "nvmlDeviceGetTemperature", ADDRESS, JAVA_INT, ADDRESS);
        this.devices = find(library);
    }

    /** The library of that name or path, initialised; empty where there is none, or it finds no driver. */
    @SuppressWarnings("MustBeClosedChecker") // close() closes the arena
    public static Optional<Nvml> open(String library) {
        Arena arena = Arena.ofShared();
        try {
            return Optional.of(new Nvml(arena, SymbolLookup.libraryLookup(library, arena)));
        } catch (IllegalArgumentException | NoSuchElementException | IllegalStateException absent) {
            arena.close();
            return Optional.empty();
        }
    }

    public List<Device> devices() {
        return devices;
    }

    /** Share of the last sample period in which a kernel ran, 0 to 1; empty when the processor does not say. */
    public OptionalDouble utilization(Device device) {
        try (Arena own = Arena.ofConfined()) {
            MemorySegment out = own.allocate(UTILIZATION);
            return call(utilization, device.handle(), out) == 0
                    ? OptionalDouble.of(out.get(JAVA_INT, 0) / 100.0)
                    : OptionalDouble.empty();
        }
    }

    /** Null when the processor does not say. */
    public @Nullable Memory memory(Device device) {
        try (Arena own = Arena.ofConfined()) {
            MemorySegment out = own.allocate(MEMORY);
            return call(memory, device.handle(), out) == 0
                    ? new Memory(out.get(JAVA_LONG, 0), out.get(JAVA_LONG, 16))
                    : null;
        }
    }

    /** Watts drawn now; empty when the processor does not say. */
    public OptionalDouble power(Device device) {
        try (Arena own = Arena.ofConfined()) {
            MemorySegment out = own.allocate(JAVA_INT);
            return call(power, device.handle(), out) == 0
                    ? OptionalDouble.of(out.get(JAVA_INT, 0) / 1_000.0)
                    : OptionalDouble.empty();
        }
    }

    /** Degrees Celsius of the chip; empty when the processor does not say. */
    public OptionalDouble temperature(Device device) {
        try (Arena own = Arena.ofConfined()) {
            MemorySegment out = own.allocate(JAVA_INT);
            return call(temperature, device.handle(), SENSOR_GPU, out) == 0
                    ? OptionalDouble.of(out.get(JAVA_INT, 0))
                    : OptionalDouble.empty();
        }
    }

    private List<Device> find(SymbolLookup library) {
        MethodHandle count = bind(library, "nvmlDeviceGetCount_v2", ADDRESS);
        MethodHandle byIndex = bind(library, "nvmlDeviceGetHandleByIndex_v2", JAVA_INT, ADDRESS);
        MethodHandle name = bind(library, "nvmlDeviceGetName", ADDRESS, ADDRESS, JAVA_INT);
        MethodHandle uuid = bind(library, "nvmlDeviceGetUUID", ADDRESS, ADDRESS, JAVA_INT);
        List<Device> found = new ArrayList<>();
        try (Arena own = Arena.ofConfined()) {
            MemorySegment number = own.allocate(JAVA_INT);
            check(call(count, number));
            for (int i = 0; i < number.get(JAVA_INT, 0); i++) {
                MemorySegment handle = own.allocate(ADDRESS);
                if (call(byIndex, i, handle) == 0) {
                    MemorySegment device = handle.get(ADDRESS, 0);
                    found.add(new Device(i, text(name, device), text(uuid, device), device));
                }
            }
        }
        return List.copyOf(found);
    }

    private static String text(MethodHandle getter, MemorySegment device) {
        try (Arena own = Arena.ofConfined()) {
            MemorySegment out = own.allocate(NAME_BYTES);
            return call(getter, device, out, NAME_BYTES) == 0 ? out.getString(0) : "";
        }
    }

    private static MethodHandle bind(SymbolLookup library, String name, MemoryLayout... parameters) {
        return Linker.nativeLinker()
                .downcallHandle(library.findOrThrow(name), FunctionDescriptor.of(JAVA_INT, parameters));
    }

    /** The library's status: 0 is success. */
    @SuppressWarnings("CatchingUnchecked")
    private static int call(MethodHandle function, Object... arguments) {
        try {
            return (int) function.invokeWithArguments(arguments);
        } catch (RuntimeException | Error e) {
            throw e;
        } catch (Throwable e) {
            throw new IllegalStateException(e);
        }
    }

    private static void check(int status) {
        if (status != 0) {
            throw new IllegalStateException("NVML answers " + status);
        }
    }

    @Override
    public void close() {
        call(shutdown);
        arena.close();
    }
}
