package io.millrace.gateway.api;

import io.millrace.gateway.stream.JsonText;
import io.millrace.gateway.trace.Waterfall;

/** A {@link Waterfall} as JSON. */
final class WaterfallJson {

    private WaterfallJson() {}

    static String of(Waterfall waterfall) {
        JsonText json = new JsonText()
                .object()
                .field("source", waterfall.source())
                .field("complete", waterfall.complete())
                .field("why", waterfall.why())
                .name("lines")
                .array();
        for (Waterfall.Line line : waterfall.lines()) {
            json.object()
                    .field("name", line.name())
                    .field("part", line.part())
                    .field("depth", line.depth())
                    .field("start_us", line.startUs())
                    .field("took_us", line.tookUs())
                    .field("failed", line.failed())
                    .name("notes")
                    .array();
            line.notes().forEach(json::value);
            json.endArray().endObject();
        }
        return json.endArray().endObject().toString();
    }
}
