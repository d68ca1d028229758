package io.millrace.bench;

import static org.assertj.core.api.Assertions.assertThat;

import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.Test;

class StreamReaderTest {

    private static final String ANSWER = """
            HTTP/1.1 200 OK\r
            X-Request-Id: 000f00112233445566778899aabbccddeeff\r
            \r
            7b\r
            id:3-5-17-0-0123abcd\r
            data:{"choices":[{"delta":{"role":"assistant","content":""}}]}\r
            \r
            id:3-5-17-1-0123abce\r
            data:{"choices":[{"delta":{"content":" w"}}]}\r
            \r
            id:3-5-21-0-0123abcf\r
            data:{"choices":[{"delta":{"content":"x"}}]}\r
            \r
            data:[DONE]\r
            """;

    @Test
    void eventsWithTextAreFoundHoweverTheBytesAreCut() {
        for (int piece : new int[] {1, 7, 64, 4_096}) {
            List<String> events = new ArrayList<>();
            StreamReader reader = new StreamReader((partition, offset) -> events.add(partition + "/" + offset));
            byte[] bytes = ANSWER.getBytes(StandardCharsets.UTF_8);
            for (int from = 0; from < bytes.length; from += piece) {
                reader.read(ByteBuffer.wrap(bytes, from, Math.min(piece, bytes.length - from)));
            }
            assertThat(events).containsExactly("15/17", "15/21");
            assertThat(reader.status()).isEqualTo(200);
            assertThat(reader.texts()).isEqualTo(2);
            assertThat(reader.done()).isTrue();
        }
    }
}
