package io.millrace.gateway.auth;

import java.util.Arrays;
import java.util.List;
import java.util.Locale;
import java.util.Optional;
import java.util.stream.Collectors;

/** A group of paths that a key may be made for. */
public enum Scope {
    /** Everything: other scopes, the metrics, and the cluster as the console shows it. */
    ADMIN("/actuator", "/cluster"),
    /** Every path of the API. */
    INFERENCE(),
    CHAT("/v1/chat/completions"),
    COMPLETIONS("/v1/completions"),
    RESPONSES("/v1/responses"),
    MESSAGES("/v1/messages"),
    EMBEDDINGS("/v1/embeddings"),
    RERANK("/v1/rerank", "/v2/rerank", "/rerank"),
    SCORE("/v1/score", "/score"),
    TOKENIZE("/tokenize", "/detokenize"),
    FILES("/v1/files", "/v1/batches", "/v1/uploads"),
    MODELS("/v1/models");

    private final List<String> paths;

    Scope(String... paths) {
        this.paths = List.of(paths);
    }

    /** The narrowest scope that holds the path. */
    public static Scope of(String path) {
        for (Scope scope : values()) {
            if (scope.paths.stream().anyMatch(prefix -> path.equals(prefix) || path.startsWith(prefix + "/"))) {
                return scope;
            }
        }
        return INFERENCE;
    }

    /** Whether a key of this scope may do what {@code wanted} stands for; every key may list the models that it may use. */
    public boolean grants(Scope wanted) {
        return this == wanted || this == ADMIN || (wanted != ADMIN && (this == INFERENCE || wanted == MODELS));
    }

    /** As people write it. */
    public String text() {
        return name().toLowerCase(Locale.ROOT);
    }

    /** The scope of that name. */
    public static Optional<Scope> parse(String text) {
        return Arrays.stream(values())
                .filter(scope -> scope.text().equals(text))
                .findFirst();
    }

    /** All names, for messages. */
    public static String names() {
        return Arrays.stream(values()).map(Scope::text).collect(Collectors.joining(", "));
    }
}
