package io.millrace.worker.serving;

/** A request that can never run: thrown within the preparation and answered to the client. */
final class Refusal extends RuntimeException {

    private static final long serialVersionUID = 1L;

    private final int status;
    private final String code;
    private final String param;

    /**
     * @param status HTTP status, 4xx
     * @param code as OpenAI's API names it
     * @param param the request's field; or empty
     */
    Refusal(int status, String code, String param, String message) {
        super(message, null, false, false);
        this.status = status;
        this.code = code;
        this.param = param;
    }

    static Refusal invalid(String param, String message) {
        return new Refusal(400, "invalid_value", param, message);
    }

    int status() {
        return status;
    }

    String code() {
        return code;
    }

    String param() {
        return param;
    }

    String text() {
        return String.valueOf(getMessage());
    }
}
