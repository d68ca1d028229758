package io.millrace.worker.journal;

/** What the engine's error codes (docs/errors.md) mean in a journal. Stateless. */
final class EngineFailures {

    private EngineFailures() {}

    /** HTTP status of a failure that would happen anywhere. */
    static int status(String code) {
        return switch (code) {
            case "MR-ENGINE-002", "MR-ENGINE-003", "MR-SAMPLING-002", "MR-GRAMMAR-002" -> 400;
            case "MR-ENGINE-007", "deadline_exceeded" -> 504;
            default -> 500;
        };
    }

    /** The code that a client sees. */
    static String code(String code) {
        return switch (code) {
            case "MR-ENGINE-002" -> "context_length_exceeded";
            case "MR-ENGINE-003" -> "invalid_value";
            case "MR-ENGINE-007" -> "deadline_exceeded";
            default -> code;
        };
    }

    /** Cause of the YIELD after a failure that another worker may not have. */
    static String cause(String code) {
        return switch (code) {
            case "MR-ENGINE-004" -> "overload";
            case "MR-ENGINE-008" -> "drain";
            default -> "fault";
        };
    }
}
