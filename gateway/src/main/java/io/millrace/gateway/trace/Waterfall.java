package io.millrace.gateway.trace;

import java.util.List;

/**
 * One request as lines below each other, each with its place in time.
 *
 * @param source {@code jaeger} or {@code journal}
 * @param complete the request has ended, and its outermost span is among the lines
 * @param why what kept it from coming from Jaeger; empty where nothing did, or none is configured
 * @param lines depth first, as they began
 */
public record Waterfall(String source, boolean complete, String why, List<Line> lines) {

    public Waterfall {
        lines = List.copyOf(lines);
    }

    /**
     * A span, or a moment.
     *
     * @param part {@code gateway}, {@code router} or {@code worker}
     * @param depth 0 for the outermost
     * @param startUs microseconds since the first line began
     * @param tookUs 0 of a moment
     * @param failed an attempt that was lost, or a span with an error
     * @param notes what is known about it beside its time
     */
    public record Line(
            String name, String part, int depth, long startUs, long tookUs, boolean failed, List<String> notes) {

        public Line {
            notes = List.copyOf(notes);
        }
    }
}
