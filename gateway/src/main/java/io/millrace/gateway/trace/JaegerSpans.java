package io.millrace.gateway.trace;

import io.millrace.gateway.trace.Waterfall.Line;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import tools.jackson.databind.JsonNode;

/** Puts the spans of a trace, as Jaeger's query API gives them, into a tree, and that into lines. No I/O. */
final class JaegerSpans {

    private static final int LINES_MAX = 500;
    private static final String SERVICE_PREFIX = "millrace-";

    /** An attribute that is worth a note, and how it is called there. */
    private record Noted(String tag, String called) {}

    private static final List<Noted> WHICH = List.of(
            new Noted("millrace.attempt", "attempt"),
            new Noted("millrace.worker", "on"),
            new Noted("millrace.cause", "because of"));

    private static final List<Noted> FIGURES = List.of(
            new Noted("gen_ai.usage.input_tokens", "prompt tokens"),
            new Noted("gen_ai.usage.cache_read.input_tokens", "of them cached"),
            new Noted("gen_ai.usage.output_tokens", "output tokens"),
            new Noted("http.response.status_code", "status"));

    private record Span(String id, String name, String part, long startUs, long tookUs, JsonNode json) {}

    private final Map<String, Span> spans = new LinkedHashMap<>();
    private final Map<String, List<Span>> children = new HashMap<>();
    private final List<Line> lines = new ArrayList<>();
    private long beginUs;

    private JaegerSpans() {}

    /** The trace of an answer of {@code /api/traces/ID}; a waterfall without lines where it has no span. */
    static Waterfall read(JsonNode answer) {
        return new JaegerSpans().lines(answer.path("data").path(0));
    }

    private Waterfall lines(JsonNode trace) {
        for (JsonNode span : trace.path("spans")) {
            String service = trace.path("processes")
                    .path(span.path("processID").asString(""))
                    .path("serviceName")
                    .asString("");
            String id = span.path("spanID").asString("");
            spans.put(
                    id,
                    new Span(
                            id,
                            span.path("operationName").asString(""),
                            service.startsWith(SERVICE_PREFIX) ? service.substring(SERVICE_PREFIX.length()) : service,
                            span.path("startTime").asLong(0),
                            span.path("duration").asLong(0),
                            span));
        }
        List<Span> roots = new ArrayList<>();
        for (Span span : spans.values()) {
            String parent = reference(span, "CHILD_OF");
            if (spans.containsKey(parent) && !parent.equals(span.id())) {
                children.computeIfAbsent(parent, id -> new ArrayList<>()).add(span);
            } else {
                roots.add(span);
            }
        }
        beginUs = spans.values().stream().mapToLong(Span::startUs).min().orElse(0);
        boolean complete = roots.size() == 1 && roots.getFirst().part().equals("gateway");
        add(roots, 0);
        return new Waterfall("jaeger", complete, "", lines);
    }

    private void add(List<Span> level, int depth) {
        level.sort(Comparator.comparingLong(Span::startUs)
                .thenComparing(Comparator.comparingLong(Span::tookUs).reversed()));
        for (Span span : level) {
            if (lines.size() == LINES_MAX) {
                return;
            }
            Map<String, String> tags = tags(span);
            boolean failed = tags.containsKey("error.type")
                    || tags.getOrDefault("error", "").equals("true");
            lines.add(new Line(
                    span.name(),
                    span.part(),
                    depth,
                    span.startUs() - beginUs,
                    span.tookUs(),
                    failed,
                    notes(span, tags)));
            add(children.getOrDefault(span.id(), new ArrayList<>()), depth + 1);
        }
    }

    private List<String> notes(Span span, Map<String, String> tags) {
        List<String> notes = new ArrayList<>();
        note(WHICH, tags, notes);
        Span linked = spans.get(reference(span, "FOLLOWS_FROM"));
        if (linked != null) {
            String attempt = tags(linked).getOrDefault("millrace.attempt", "");
            notes.add("links to " + linked.name() + (attempt.isEmpty() ? "" : " of attempt " + attempt));
        }
        note(FIGURES, tags, notes);
        return notes;
    }

    private static void note(List<Noted> which, Map<String, String> tags, List<String> notes) {
        for (Noted each : which) {
            String value = tags.getOrDefault(each.tag(), "");
            if (!value.isEmpty()) {
                notes.add(each.called() + " " + value);
            }
        }
    }

    private static Map<String, String> tags(Span span) {
        Map<String, String> tags = new HashMap<>();
        for (JsonNode tag : span.json().path("tags")) {
            tags.put(tag.path("key").asString(""), tag.path("value").asString(""));
        }
        return tags;
    }

    /** Id of the first span that this one refers to in that way; empty for none. */
    private static String reference(Span span, String type) {
        for (JsonNode reference : span.json().path("references")) {
            if (reference.path("refType").asString("").equals(type)) {
                return reference.path("spanID").asString("");
            }
        }
        return "";
    }
}
