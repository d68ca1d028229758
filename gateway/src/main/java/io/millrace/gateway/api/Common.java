package io.millrace.gateway.api;

import io.millrace.shared.proto.ResponseShape;
import io.millrace.shared.proto.Submit;
import java.util.OptionalLong;
import org.jspecify.annotations.Nullable;
import tools.jackson.databind.JsonNode;

/** Fields that all generating endpoints read alike. */
final class Common {

    private static final int LOW = 1;
    private static final int NORMAL = 2;
    private static final int HIGH = 3;

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
        body.string("user");
        submit.setStore(body.bool("store", false));
        submit.setPriority(priority(body));
        @Nullable String salt = body.string("cache_salt");
        submit.setCacheSalt(salt == null ? "" : salt);
    }

    private static int priority(Fields body) {
        String tier = body.string("service_tier");
        return tier == null
                ? NORMAL
                : switch (tier) {
                    case "flex" -> LOW;
                    case "priority" -> HIGH;
                    default -> NORMAL;
                };
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
