package io.millrace.shared.proto;

import static org.assertj.core.api.Assertions.assertThat;

import com.google.protobuf.Descriptors.FieldDescriptor;
import com.google.protobuf.Message;
import com.google.protobuf.TextFormat;
import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStream;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import org.junit.jupiter.api.DynamicTest;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestFactory;

/**
 * The bytes of version 1 of the messages that live in the log, each with every field of that time set. Lines are never changed:
 * a new field gets a line of its own.
 */
class JournalFrozenBytesTest {

    private static final Map<String, Message> MESSAGES = Map.of(
            "JournalRecord", JournalRecord.getDefaultInstance(),
            "RequestRecord", RequestRecord.getDefaultInstance(),
            "Assignment", Assignment.getDefaultInstance(),
            "FileRecord", FileRecord.getDefaultInstance(),
            "BatchRecord", BatchRecord.getDefaultInstance());

    /** One line: message, its oneof case, its bytes, and what they mean. */
    private record Frozen(String message, String kind, byte[] bytes, String text) {

        Message parse() throws IOException {
            return Objects.requireNonNull(MESSAGES.get(message))
                    .getParserForType()
                    .parseFrom(bytes);
        }
    }

    private static List<Frozen> frozen() throws IOException {
        List<Frozen> lines = new ArrayList<>();
        try (InputStream in = JournalFrozenBytesTest.class.getResourceAsStream("/frozen/v1.txt");
                BufferedReader reader =
                        new BufferedReader(new InputStreamReader(Objects.requireNonNull(in), StandardCharsets.UTF_8))) {
            for (String line = reader.readLine(); line != null; line = reader.readLine()) {
                String[] parts = line.split(" ", 4);
                lines.add(new Frozen(parts[0], parts[1], HexFormat.of().parseHex(parts[2]), parts[3]));
            }
        }
        return lines;
    }

    @TestFactory
    List<DynamicTest> theBytesOfVersionOneMeanWhatTheyMeantAndAreWrittenAsTheyWere() throws IOException {
        return frozen().stream()
                .map(line -> DynamicTest.dynamicTest(line.message() + "." + line.kind(), () -> {
                    Message parsed = line.parse();
                    assertThat(parsed.toByteArray()).isEqualTo(line.bytes());
                    assertThat(TextFormat.printer().emittingSingleLine(true).printToString(parsed))
                            .isEqualTo(line.text());
                    assertThat(unknownFields(parsed)).isZero();
                }))
                .toList();
    }

    @Test
    void everyKindOfRecordIsFrozen() throws IOException {
        List<String> kinds = new ArrayList<>();
        for (Frozen line : frozen()) {
            kinds.add(line.message() + "." + line.kind());
        }
        for (Map.Entry<String, Message> message : MESSAGES.entrySet()) {
            for (FieldDescriptor field : message.getValue()
                    .getDescriptorForType()
                    .getOneofs()
                    .getFirst()
                    .getFields()) {
                assertThat(kinds).contains(message.getKey() + "." + field.getName());
            }
        }
    }

    private static int unknownFields(Message message) {
        int sum = message.getUnknownFields().asMap().size();
        for (Map.Entry<FieldDescriptor, Object> field : message.getAllFields().entrySet()) {
            if (field.getValue() instanceof Message inner) {
                sum += unknownFields(inner);
            } else if (field.getValue() instanceof List<?> list) {
                for (Object each : list) {
                    sum += each instanceof Message inner ? unknownFields(inner) : 0;
                }
            }
        }
        return sum;
    }
}
