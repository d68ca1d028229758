package io.millrace.gateway.batch;

import java.io.ByteArrayOutputStream;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import org.jspecify.annotations.Nullable;
import reactor.core.publisher.Flux;

/** Cuts bytes into the lines of a JSONL file; blank lines are left out, but counted. Not thread-safe. */
final class LineSplitter {

    private final ByteArrayOutputStream partial = new ByteArrayOutputStream();
    private final int bytesMax;
    private int number;
    private boolean tooLong;

    /**
     * One line.
     *
     * @param number from 1
     * @param text null: it is longer than allowed
     */
    record Line(int number, @Nullable String text) {}

    LineSplitter(int bytesMax) {
        this.bytesMax = bytesMax;
    }

    /** Lines of these bytes, as they are asked for. */
    static Flux<Line> lines(Flux<byte[]> bytes, int bytesMax) {
        return Flux.defer(() -> {
            var splitter = new LineSplitter(bytesMax);
            return bytes.concatMapIterable(splitter::feed, 1)
                    .concatWith(Flux.defer(() -> Flux.fromIterable(splitter.end())));
        });
    }

    List<Line> feed(byte[] bytes) {
        List<Line> lines = new ArrayList<>();
        int start = 0;
        for (int i = 0; i < bytes.length; i++) {
            if (bytes[i] == '\n') {
                add(bytes, start, i);
                finish(lines);
                start = i + 1;
            }
        }
        add(bytes, start, bytes.length);
        return lines;
    }

    List<Line> end() {
        List<Line> lines = new ArrayList<>();
        if (partial.size() > 0 || tooLong) {
            finish(lines);
        }
        return lines;
    }

    private void add(byte[] bytes, int from, int to) {
        tooLong |= partial.size() + (to - from) > bytesMax;
        if (tooLong) {
            partial.reset();
        } else {
            partial.write(bytes, from, to - from);
        }
    }

    private void finish(List<Line> lines) {
        number++;
        String text = partial.toString(StandardCharsets.UTF_8);
        if (number == 1 && text.startsWith("\ufeff")) {
            text = text.substring(1);
        }
        if (tooLong || !text.isBlank()) {
            lines.add(new Line(number, tooLong ? null : text));
        }
        partial.reset();
        tooLong = false;
    }
}
