package io.millrace.gateway.api;

import io.millrace.gateway.stream.ApiError;
import io.millrace.gateway.stream.ApiException;
import java.nio.ByteBuffer;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.CharsetDecoder;
import java.nio.charset.CodingErrorAction;
import java.nio.charset.StandardCharsets;
import java.util.ArrayDeque;
import java.util.Deque;
import java.util.HashMap;
import java.util.Map;
import java.util.regex.Pattern;
import org.jspecify.annotations.Nullable;
import tools.jackson.core.JacksonException;
import tools.jackson.core.JsonParser;
import tools.jackson.core.JsonToken;
import tools.jackson.core.StreamReadConstraints;
import tools.jackson.core.TokenStreamContext;
import tools.jackson.core.TokenStreamLocation;
import tools.jackson.core.exc.StreamConstraintsException;
import tools.jackson.core.exc.UnexpectedEndOfInputException;
import tools.jackson.core.json.JsonFactory;
import tools.jackson.databind.DeserializationFeature;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.json.JsonMapper;

/** Reads bodies strictly: valid UTF-8, valid JSON (RFC 8259), bounded depth, no lone surrogates. Thread-safe. */
final class Json {

    static final int DEPTH_MAX = 100;
    private static final int PATH_MAX = 100;
    /** What the parser says to those who configure it. */
    private static final Pattern ASIDE = Pattern.compile(
            ", from `[^`]*`|: enable `[^`]*` to allow| \\(start marker at .*| \\(bound as .*| \\(not recognized .*");

    private final JsonMapper mapper = JsonMapper.builder(JsonFactory.builder()
                    .streamReadConstraints(StreamReadConstraints.builder()
                            .maxNestingDepth(DEPTH_MAX)
                            .maxStringLength(Integer.MAX_VALUE)
                            .build())
                    .build())
            .enable(DeserializationFeature.FAIL_ON_TRAILING_TOKENS)
            .build();

    /**
     * A body as text and as the object it is.
     *
     * @param fields of the object, counted
     */
    record Body(String text, JsonNode object, Fields fields) {

        Body(String text, JsonNode object) {
            this(text, object, Fields.counted(object));
        }
    }

    /** Throws 400 naming the place of what is wrong. */
    Body object(byte[] bytes) {
        String text = decode(bytes);
        if (text.isBlank()) {
            throw bad("invalid_json", "The body is empty; a JSON object is wanted.");
        }
        return object(text);
    }

    Body object(String text) {
        JsonNode node;
        try {
            node = mapper.readTree(text);
        } catch (StreamConstraintsException e) {
            throw bad(
                    "invalid_json",
                    outermost(where(text)),
                    "The body goes beyond a limit of this server: " + firstLine(e));
        } catch (UnexpectedEndOfInputException e) {
            throw bad("invalid_json", "The body is not valid JSON" + place(e.getLocation()) + ": " + firstLine(e));
        } catch (JacksonException e) {
            throw bad(
                    "invalid_json",
                    where(text),
                    "The body is not valid JSON" + place(e.getLocation()) + ": " + firstLine(e));
        }
        if (node == null || !node.isObject()) {
            throw bad("invalid_json", "The body must be a JSON object.");
        }
        checkSurrogates(node, "");
        return new Body(text, node);
    }

    /** The field at which the text ceases to be JSON; null: at none. Of a long path its beginning. */
    private @Nullable String where(String text) {
        try (JsonParser parser = mapper.createParser(text)) {
            try {
                while (parser.nextToken() != null) {
                    // On to the mistake.
                }
            } catch (JacksonException mistake) {
                return path(parser.streamReadContext());
            }
        }
        return null;
    }

    private static @Nullable String outermost(@Nullable String path) {
        return path == null ? null : path.split("[.\\[]", 2)[0];
    }

    private static @Nullable String path(TokenStreamContext at) {
        Deque<String> parts = new ArrayDeque<>();
        for (TokenStreamContext each = at; each != null && !each.inRoot(); each = each.getParent()) {
            String name = each.currentName();
            if (each.inArray()) {
                parts.addFirst("[" + each.getCurrentIndex() + "]");
            } else if (name != null) {
                parts.addFirst(name);
            }
        }
        StringBuilder path = new StringBuilder();
        for (String part : parts) {
            if (path.length() + part.length() >= PATH_MAX) {
                break;
            }
            path.append(path.isEmpty() || part.startsWith("[") ? "" : ".").append(part);
        }
        return path.isEmpty() ? null : path.toString();
    }

    /** JSON of our own. */
    JsonNode tree(String text) {
        return mapper.readTree(text.isEmpty() ? "{}" : text);
    }

    /** The values of these fields of the outermost object, in the very characters that the client sent. */
    Map<String, String> slices(String text, java.util.Set<String> names) {
        Map<String, String> slices = new HashMap<>();
        try (JsonParser parser = mapper.createParser(text)) {
            parser.nextToken();
            while (parser.nextToken() == JsonToken.PROPERTY_NAME) {
                String name = parser.currentName();
                JsonToken value = parser.nextToken();
                int start = (int) parser.currentTokenLocation().getCharOffset();
                parser.skipChildren();
                if (names.contains(name) && (value == JsonToken.START_OBJECT || value == JsonToken.START_ARRAY)) {
                    int end = (int) parser.currentLocation().getCharOffset();
                    slices.put(name, text.substring(start, end));
                }
            }
        }
        return slices;
    }

    private static String decode(byte[] bytes) {
        CharsetDecoder decoder = StandardCharsets.UTF_8
                .newDecoder()
                .onMalformedInput(CodingErrorAction.REPORT)
                .onUnmappableCharacter(CodingErrorAction.REPORT);
        ByteBuffer in = ByteBuffer.wrap(bytes);
        try {
            String text = decoder.decode(in).toString();
            return text.startsWith("\ufeff") ? text.substring(1) : text;
        } catch (CharacterCodingException e) {
            throw bad("invalid_utf8", "The body is not valid UTF-8 at byte " + in.position() + ".");
        }
    }

    private static void checkSurrogates(JsonNode node, String path) {
        if (node.isString()) {
            if (hasLoneSurrogate(node.stringValue())) {
                throw new ApiException(ApiError.of(
                        400,
                        "invalid_unicode",
                        path,
                        "'" + path + "' holds half of a surrogate pair, so it is no Unicode text."));
            }
        } else if (node.isArray()) {
            for (int i = 0; i < node.size(); i++) {
                JsonNode each = node.get(i);
                if (!each.isNumber()) {
                    checkSurrogates(each, path + "[" + i + "]");
                }
            }
        } else if (node.isObject()) {
            for (Map.Entry<String, JsonNode> each : node.properties()) {
                if (hasLoneSurrogate(each.getKey())) {
                    throw new ApiException(ApiError.of(
                            400,
                            "invalid_unicode",
                            path.isEmpty() ? null : path,
                            "A field's name holds half of a surrogate pair, so it is no Unicode text."));
                }
                checkSurrogates(each.getValue(), path.isEmpty() ? each.getKey() : path + "." + each.getKey());
            }
        }
    }

    private static boolean hasLoneSurrogate(String text) {
        for (int i = 0; i < text.length(); i++) {
            char c = text.charAt(i);
            if (Character.isHighSurrogate(c) && i + 1 < text.length() && Character.isLowSurrogate(text.charAt(i + 1))) {
                i++;
            } else if (Character.isSurrogate(c)) {
                return true;
            }
        }
        return false;
    }

    private static String place(@Nullable TokenStreamLocation location) {
        return location == null || location.getLineNr() < 1
                ? ""
                : " at line " + location.getLineNr() + ", column " + location.getColumnNr();
    }

    private static String firstLine(JacksonException e) {
        String message = e.getOriginalMessage();
        int end = message.indexOf('\n');
        String line = end < 0 ? message : message.substring(0, end);
        return ASIDE.matcher(line).replaceAll("");
    }

    private static ApiException bad(String code, String message) {
        return bad(code, null, message);
    }

    private static ApiException bad(String code, @Nullable String param, String message) {
        return new ApiException(ApiError.of(400, code, param, message));
    }
}
