package io.millrace.gateway.parse;

import org.jspecify.annotations.Nullable;

/** Reads what stands behind Mistral's marker: {@code [{…}, …]}, <code>{…}</code>, or {@code name[CALL_ID]id[ARGS]{…}}. */
final class MistralReader implements Reader {

    private static final String ARGS = "[ARGS]";
    private static final String CALL_ID = "[CALL_ID]";
    private static final int HEAD_MAX = 300;

    private final Pieces out;
    /** Name, id and marks, until the arguments begin. */
    private final StringBuilder head = new StringBuilder();

    private @Nullable Reader reader;

    MistralReader(Pieces out) {
        this.out = out;
    }

    @Override
    public Status accept(char c) {
        if (reader != null) {
            return reader.accept(c);
        }
        if (head.isEmpty()) {
            if (MarkerScan.isWhite(c)) {
                return Status.MORE;
            }
            if (c == '[') {
                reader = new ListReader(out);
                return reader.accept(c);
            }
            if (c == '{') {
                reader = new CallReader(out);
                return reader.accept(c);
            }
        }
        if (c == '{') {
            String name = name();
            if (name == null || !out.isFunction(name)) {
                return Status.FAILED;
            }
            reader = new ArgumentsReader(name, out);
            return reader.accept(c);
        }
        head.append(c);
        return head.length() <= HEAD_MAX && isHead(c) ? Status.MORE : Status.FAILED;
    }

    private static boolean isHead(char c) {
        return MarkerScan.isWhite(c) || Character.isLetterOrDigit(c) || "_-.[]".indexOf(c) >= 0;
    }

    /** The function's name in the head; null: it is none. */
    private @Nullable String name() {
        String text = head.toString().strip();
        if (text.endsWith(ARGS)) {
            text = text.substring(0, text.length() - ARGS.length()).strip();
        }
        int id = text.indexOf(CALL_ID);
        String name = id < 0 ? text : text.substring(0, id).strip();
        return name.indexOf('[') < 0 && name.indexOf(']') < 0 ? name : null;
    }

    @Override
    public boolean committed() {
        return reader != null && reader.committed();
    }
}
