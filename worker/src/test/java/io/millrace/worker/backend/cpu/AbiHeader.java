package io.millrace.worker.backend.cpu;

import static java.lang.foreign.ValueLayout.JAVA_DOUBLE;
import static java.lang.foreign.ValueLayout.JAVA_FLOAT;
import static java.lang.foreign.ValueLayout.JAVA_INT;
import static java.lang.foreign.ValueLayout.JAVA_LONG;

import java.io.IOException;
import java.lang.foreign.MemoryLayout;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.regex.MatchResult;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/**
 * The header of the C ABI, read.
 *
 * @param constants its macros and the members of its enums, by name
 * @param structs fields of each structure, in order
 * @param functions types of each function's result and arguments; a pointer is {@value #POINTER}, no result {@value #NOTHING}
 */
record AbiHeader(
        Path path, Map<String, Long> constants, Map<String, List<Field>> structs, Map<String, List<String>> functions) {

    static final String POINTER = "pointer";
    static final String NOTHING = "void";

    private static final Pattern COMMENT = Pattern.compile("/\\*.*?\\*/", Pattern.DOTALL);
    private static final Pattern MACRO = Pattern.compile("#define (\\w+) (\\d+)");
    private static final Pattern ENUM = Pattern.compile("enum \\{(.*?)};", Pattern.DOTALL);
    private static final Pattern MEMBER = Pattern.compile("(\\w+) = (-?\\d+)");
    private static final Pattern STRUCT = Pattern.compile("typedef struct (\\w+) \\{(.*?)} \\1;", Pattern.DOTALL);
    private static final Pattern FIELD = Pattern.compile("(?:const )?(\\w+)(\\*?) (\\w+)(?:\\[(\\w+)])?;");
    private static final Pattern FUNCTION =
            Pattern.compile("^((?:const )?\\w+\\*?) (mr_\\w+)\\((.*?)\\);", Pattern.DOTALL | Pattern.MULTILINE);

    /**
     * A field.
     *
     * @param count how many; 1 for what is no array
     */
    record Field(String name, String type, int count) {

        /** As Java has it, with its name. */
        MemoryLayout layout() {
            MemoryLayout one = AbiHeader.layout(type);
            return (count == 1 ? one : MemoryLayout.sequenceLayout(count, one)).withName(name);
        }
    }

    /** The one of this tree. */
    static AbiHeader read() throws IOException {
        Path path = Path.of("..", "kernels", "include", "millrace.h")
                .toAbsolutePath()
                .normalize();
        String text =
                COMMENT.matcher(Files.readString(path, StandardCharsets.UTF_8)).replaceAll("");
        Map<String, Long> constants = new LinkedHashMap<>();
        for (MatchResult macro : all(MACRO, text)) {
            constants.put(macro.group(1), Long.valueOf(macro.group(2)));
        }
        for (MatchResult members : all(ENUM, text)) {
            for (MatchResult member : all(MEMBER, members.group(1))) {
                constants.put(member.group(1), Long.valueOf(member.group(2)));
            }
        }
        Map<String, List<Field>> structs = new LinkedHashMap<>();
        for (MatchResult struct : all(STRUCT, text)) {
            List<Field> fields = new ArrayList<>();
            for (MatchResult field : all(FIELD, struct.group(2))) {
                String size = field.group(4);
                long count = size == null ? 1 : Objects.requireNonNull(constants.get(size), size);
                fields.add(new Field(field.group(3), type(field.group(1) + field.group(2)), Math.toIntExact(count)));
            }
            structs.put(struct.group(1), fields);
        }
        Map<String, List<String>> functions = new LinkedHashMap<>();
        for (MatchResult function : all(FUNCTION, text)) {
            List<String> types = new ArrayList<>();
            types.add(type(function.group(1)));
            for (String argument : function.group(3).split(",", -1)) {
                String declared = argument.strip();
                if (!declared.equals(NOTHING)) {
                    types.add(type(declared.substring(0, declared.lastIndexOf(' '))));
                }
            }
            functions.put(function.group(2), types);
        }
        return new AbiHeader(path, constants, structs, functions);
    }

    /** Java's layout of a type, a pointer as its address. */
    static MemoryLayout layout(String type) {
        return switch (type) {
            case "int32_t", "uint32_t" -> JAVA_INT;
            case "int64_t", POINTER -> JAVA_LONG;
            case "float" -> JAVA_FLOAT;
            case "double" -> JAVA_DOUBLE;
            default -> throw new AssertionError("the header has a type that this test does not know: " + type);
        };
    }

    private static String type(String declared) {
        return declared.endsWith("*") ? POINTER : declared.replace("const ", "");
    }

    private static List<MatchResult> all(Pattern pattern, String text) {
        Matcher matcher = pattern.matcher(text);
        return matcher.results().toList();
    }
}
