package io.millrace.gateway.api;

import io.millrace.shared.proto.ResponseShape;
import io.millrace.shared.proto.Submit;
import java.util.List;
import java.util.Map;
import java.util.OptionalLong;
import org.jspecify.annotations.Nullable;
import tools.jackson.databind.JsonNode;

/** Fields that all generating endpoints read alike. */
final class Common {

    private static final int LOW = 1;
    private static final int NORMAL = 2;
    private static final int HIGH = 3;
    private static final int PAIRS_MAX = 16;
    private static final int KEY_MAX = 64;
    private static final int VALUE_MAX = 512;
    /** Names of the end user and of caches, which change nothing here: prefixes are shared by their text. */
    private static final List<String> UNUSED =
            List.of("user", "safety_identifier", "prompt_cache_key", "prompt_cache_retention");

    private Common() {}

    static String model(Fields body) {
        String model = body.string("model");
        if (model == null || model.isEmpty()) {
            throw body.missing("model");
        }
        return model;
    }

    static OptionalLong seed(Fields body) {
        return body.integer64("seed", Long.MIN_VALUE, Long.MAX_VALUE);
    }

    static void read(Fields body, Submit.Builder submit) {
        UNUSED.forEach(body::string);
        metadata(body);
        submit.setStore(body.bool("store", false));
        submit.setPriority(priority(body));
        @Nullable String salt = body.string("cache_salt");
        submit.setCacheSalt(salt == null ? "" : salt);
    }

    private static int priority(Fields body) {
        String tier = body.string("service_tier");
        return switch (tier == null ? "auto" : tier) {
            case "auto", "default", "scale" -> NORMAL;
            case "flex" -> LOW;
            case "priority" -> HIGH;
            default ->
                throw body.invalid(
                        "service_tier",
                        "'service_tier' must be \"auto\", \"default\", \"flex\", \"scale\" or \"priority\".");
        };
    }

    /** Up to 16 strings under names; as JSON. */
    static String metadata(Fields body) {
        JsonNode metadata = body.get("metadata");
        if (metadata == null) {
            return "{}";
        }
        if (!metadata.isObject()) {
            throw body.wrong("metadata", "an object", metadata);
        }
        if (metadata.size() > PAIRS_MAX) {
            throw body.invalid(
                    "metadata",
                    "'metadata' has %d entries; at most %d are taken.".formatted(metadata.size(), PAIRS_MAX));
        }
        for (Map.Entry<String, JsonNode> each : metadata.properties()) {
            if (each.getKey().length() > KEY_MAX) {
                throw body.invalid("metadata", "A name in 'metadata' has more than " + KEY_MAX + " characters.");
            }
            if (!each.getValue().isString()) {
                throw body.wrong("metadata." + each.getKey(), "a string", each.getValue());
            }
            if (each.getValue().stringValue().length() > VALUE_MAX) {
                throw body.invalid(
                        "metadata." + each.getKey(),
                        "'metadata." + each.getKey() + "' has more than " + VALUE_MAX + " characters.");
            }
        }
        return metadata.toString();
    }

    static ResponseShape.Builder shape(Fields body, ResponseShape.Api api) {
        ResponseShape.Builder shape = ResponseShape.newBuilder().setApi(api).setStream(body.bool("stream", false));
        JsonNode options = body.get("stream_options");
        if (options != null) {
            if (!options.isObject()) {
                throw body.wrong("stream_options", "an object", options);
            }
            if (!shape.getStream()) {
                throw body.invalid("stream_options", "'stream_options' needs 'stream': true.");
            }
            Fields fields = new Fields(options, body.path("stream_options"));
            shape.setIncludeUsage(fields.bool("include_usage", false));
            shape.setContinuousUsage(fields.bool("continuous_usage_stats", false));
        }
        return shape;
    }
}
