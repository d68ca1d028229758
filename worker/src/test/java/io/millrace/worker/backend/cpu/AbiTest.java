package io.millrace.worker.backend.cpu;

import static org.assertj.core.api.Assertions.assertThat;

import io.millrace.worker.backend.cpu.AbiHeader.Field;
import java.io.File;
import java.io.IOException;
import java.lang.foreign.FunctionDescriptor;
import java.lang.foreign.MemoryLayout;
import java.lang.foreign.PaddingLayout;
import java.lang.foreign.StructLayout;
import java.lang.foreign.ValueLayout;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.stream.Stream;
import org.junit.jupiter.api.Assumptions;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** What Java takes the C ABI for is what its header says, and what a compiler makes of that. */
class AbiTest {

    private final AbiHeader header = AbiHeader.read();

    @TempDir
    Path dir;

    AbiTest() throws IOException {}

    private static String name(MemoryLayout layout) {
        return layout.name().orElseThrow();
    }

    private static List<MemoryLayout> fields(StructLayout struct) {
        return struct.memberLayouts().stream()
                .filter(member -> !(member instanceof PaddingLayout))
                .toList();
    }

    @Test
    void everyStructureHasTheFieldsOfTheHeaderInTheirOrder() {
        assertThat(Structs.ALL)
                .extracting(AbiTest::name)
                .containsExactlyInAnyOrderElementsOf(header.structs().keySet());
        for (StructLayout struct : Structs.ALL) {
            List<Field> declared = Objects.requireNonNull(header.structs().get(name(struct)));
            assertThat(fields(struct))
                    .as(name(struct))
                    .containsExactlyElementsOf(
                            declared.stream().map(Field::layout).toList());
        }
    }

    @Test
    void aCompilerPutsThemWhereJavaDoes() throws Exception {
        StringBuilder source = new StringBuilder("#include <stddef.h>\n#include \"" + header.path() + "\"\n");
        for (StructLayout struct : Structs.ALL) {
            String of = name(struct);
            says(source, "sizeof(" + of + ")", struct.byteSize());
            says(source, "_Alignof(" + of + ")", struct.byteAlignment());
            for (MemoryLayout field : fields(struct)) {
                says(source, "offsetof(" + of + ", " + name(field) + ")", Structs.at(struct, name(field)));
                says(source, "sizeof(((" + of + "*)0)->" + name(field) + ")", field.byteSize());
            }
        }
        assertThat(compiled(source.toString())).isEmpty();
        says(source, "sizeof(mr_draw)", Structs.DRAW.byteSize() + 8);
        assertThat(compiled(source.toString()))
                .as("what a compiler says where they differ")
                .contains("mr_draw");
    }

    private static void says(StringBuilder source, String expression, long value) {
        source.append("_Static_assert(%s == %d, \"%s\");\n".formatted(expression, value, expression));
    }

    /** What the compiler says; nothing when all is well. Skips the test where there is none. */
    private String compiled(String source) throws Exception {
        Path compiler = Stream.of(System.getenv("PATH").split(File.pathSeparator))
                .flatMap(folder -> Stream.of("cc", "gcc", "clang").map(each -> Path.of(folder, each)))
                .filter(Files::isExecutable)
                .findFirst()
                .orElse(null);
        if (compiler == null) {
            String reason = "SKIPPED, there is no C compiler: install gcc";
            System.err.println(reason);
            throw Assumptions.<RuntimeException>abort(reason);
        }
        Path file = Files.writeString(dir.resolve("layout.c"), source);
        Process process = new ProcessBuilder(compiler.toString(), "-std=c11", "-fsyntax-only", file.toString())
                .redirectErrorStream(true)
                .start();
        String said = new String(process.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
        return process.waitFor() == 0 ? "" : said;
    }

    @Test
    void everyFunctionIsCalledWithTheTypesOfTheHeader() {
        Map<String, FunctionDescriptor> called = NativeKernels.open(RecordingKernels.library(), NativeDevice.CUDA)
                .functions();
        List<String> notCalled = new ArrayList<>(header.functions().keySet());
        notCalled.removeAll(called.keySet());
        assertThat(notCalled)
                .as("what is asked before anything else, and what only tests in C call")
                .containsExactlyInAnyOrder("mr_abi_version", "mr_read", "mr_graph_steps");
        called.forEach((name, descriptor) -> {
            List<String> types = Objects.requireNonNull(header.functions().get(name), name);
            List<MemoryLayout> arguments = types.subList(1, types.size()).stream()
                    .map(AbiHeader::layout)
                    .toList();
            assertThat(descriptor.argumentLayouts()).as(name).isEqualTo(arguments);
            if (types.getFirst().equals(AbiHeader.NOTHING)) {
                assertThat(descriptor.returnLayout()).as(name).isEmpty();
            } else {
                MemoryLayout result = name.equals("mr_isa_name") || name.equals("mr_numerics")
                        ? ValueLayout.ADDRESS
                        : AbiHeader.layout(types.getFirst());
                assertThat(descriptor.returnLayout()).as(name).contains(result);
            }
        });
    }

    private void is(String constant, long value) {
        assertThat(header.constants()).as(constant).containsEntry(constant, value);
    }

    @Test
    void everyConstantIsThatOfTheHeader() {
        is("MR_ABI_VERSION", NativeKernels.ABI_VERSION);
        is("MR_OK", NativeKernels.OK);
        is("MR_MEMORY", NativeKernels.OUT_OF_MEMORY);
        is("MR_UNSUPPORTED", NativeKernels.UNSUPPORTED);
        is("MR_FAULT", NativeKernels.FAULT);
        is("MR_INTERNAL", RecordingKernels.INTERNAL);
        is("MR_TOP", Structs.TOP);
        is("MR_STAGE_OPS", Structs.STAGE_OPS);
        is("MR_ROW_CHOSEN", DeviceSteps.CHOSEN);
        is("MR_ROW_BROKEN", DeviceSteps.BROKEN);
        is("MR_ROW_EMPTY", DeviceSteps.EMPTY);
        is("MR_ROW_REFUSED", DeviceSteps.REFUSED);
        is("MR_TYPES", NativeType.values().length);
        for (NativeType type : NativeType.values()) {
            is("MR_" + type, type.number());
        }
        is("MR_INT8", NativeKernels.INT8);
        is("MR_FP8", NativeKernels.FP8);
        for (GroupedWeight.Type type : GroupedWeight.Type.values()) {
            is("MR_" + type, type.number());
        }
        for (CpuSettings.Precision precision : CpuSettings.Precision.values()) {
            is("MR_PRECISION_" + precision, precision.ordinal());
        }
        is("MR_ISA_AUTO", CpuSettings.DEFAULT.isa());
    }
}
