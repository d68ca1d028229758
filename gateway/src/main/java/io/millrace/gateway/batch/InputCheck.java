package io.millrace.gateway.batch;

import io.millrace.shared.proto.BatchError;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Set;

/** Judges a batch by its input, line by line, before anything runs. Not thread-safe. */
final class InputCheck {

    private static final int ERRORS_MAX = 100;

    private final BatchLines lines;
    private final String endpoint;
    private final int linesMax;
    private final List<BatchError> errors = new ArrayList<>();
    private final Set<String> customIds = new HashSet<>();
    private String model = "";
    private int total;

    InputCheck(BatchLines lines, String endpoint, int linesMax) {
        this.lines = lines;
        this.endpoint = endpoint;
        this.linesMax = linesMax;
    }

    void add(LineSplitter.Line line) {
        total++;
        if (total > linesMax || errors.size() >= ERRORS_MAX) {
            return;
        }
        String text = line.text();
        if (text == null) {
            error(line.number(), "line_too_large", "This line is larger than a request may be.", "");
            return;
        }
        BatchLines.Head head = lines.head(text, endpoint);
        if (!head.error().getCode().isEmpty()) {
            errors.add(head.error().toBuilder().setLine(line.number()).build());
        } else if (!customIds.add(head.customId())) {
            error(
                    line.number(),
                    "duplicate_custom_id",
                    "The custom_id for this request is a duplicate of another request. The custom_id parameter must be"
                            + " unique for each request in a batch.",
                    "custom_id");
        } else if (model.isEmpty()) {
            model = head.model();
        } else if (!model.equals(head.model())) {
            error(
                    line.number(),
                    "mismatched_model",
                    "All requests of a batch must be for one model: this line is for '" + head.model()
                            + "', the first one for '" + model + "'.",
                    "body.model");
        }
    }

    private void error(int line, String code, String message, String param) {
        errors.add(BatchError.newBuilder()
                .setLine(line)
                .setCode(code)
                .setMessage(message)
                .setParam(param)
                .build());
    }

    /** What is wrong with it; empty: nothing. */
    List<BatchError> errors() {
        if (total == 0) {
            error(0, "empty_file", "The input file has no requests.", "");
        } else if (total > linesMax) {
            errors.clear();
            error(
                    0,
                    "too_many_tasks",
                    "The input file has %,d requests; at most %,d are taken.".formatted(total, linesMax),
                    "");
        }
        return errors;
    }

    int total() {
        return total;
    }

    String model() {
        return model;
    }
}
