package io.millrace.gateway.stream;

import org.jspecify.annotations.Nullable;

/** Writes compact JSON in the order of the calls; the caller keeps brackets balanced. Not thread-safe. */
public final class JsonText {

    private static final String HEX = "0123456789abcdef";

    private final StringBuilder out = new StringBuilder(256);

    public JsonText object() {
        separate();
        out.append('{');
        return this;
    }

    public JsonText endObject() {
        out.append('}');
        return this;
    }

    public JsonText array() {
        separate();
        out.append('[');
        return this;
    }

    public JsonText endArray() {
        out.append(']');
        return this;
    }

    public JsonText name(String name) {
        separate();
        quote(name);
        out.append(':');
        return this;
    }

    public JsonText value(@Nullable String value) {
        separate();
        if (value == null) {
            out.append("null");
        } else {
            quote(value);
        }
        return this;
    }

    public JsonText value(long value) {
        separate();
        out.append(value);
        return this;
    }

    /** A log probability: what is not finite becomes -9999, as vLLM has it. */
    public JsonText value(float value) {
        separate();
        out.append(Float.isFinite(value) ? value : -9999.0f);
        return this;
    }

    public JsonText value(boolean value) {
        separate();
        out.append(value);
        return this;
    }

    /** Text that is JSON already. */
    public JsonText raw(CharSequence json) {
        separate();
        out.append(json);
        return this;
    }

    public JsonText field(String name, @Nullable String value) {
        return name(name).value(value);
    }

    public JsonText field(String name, long value) {
        return name(name).value(value);
    }

    public JsonText field(String name, boolean value) {
        return name(name).value(value);
    }

    public JsonText nothing(String name) {
        return name(name).value((String) null);
    }

    private void separate() {
        int length = out.length();
        if (length > 0) {
            char last = out.charAt(length - 1);
            if (last != '{' && last != '[' && last != ':') {
                out.append(',');
            }
        }
    }

    private void quote(String text) {
        out.append('"');
        for (int i = 0; i < text.length(); i++) {
            char c = text.charAt(i);
            switch (c) {
                case '"' -> out.append("\\\"");
                case '\\' -> out.append("\\\\");
                case '\n' -> out.append("\\n");
                case '\r' -> out.append("\\r");
                case '\t' -> out.append("\\t");
                default -> {
                    if (c < 0x20 || c == 0x7f) {
                        out.append("\\u00").append(HEX.charAt(c >> 4)).append(HEX.charAt(c & 15));
                    } else {
                        out.append(c);
                    }
                }
            }
        }
        out.append('"');
    }

    @Override
    public String toString() {
        return out.toString();
    }
}
