package io.millrace.worker.text;

/**
 * The text of a stream of ids, each piece as soon as it can no longer change: whole characters, and U+FFFD (one for each maximal
 * subpart) as soon as bytes are certainly ill-formed. An unfinished character, at most three bytes, waits. The pieces are a pure
 * function of the ids, so replaying the same ids gives the same pieces; one id costs time in its own bytes only. Not thread-safe.
 */
public final class IncrementalDetokenizer {

    private final Tokenizer tokenizer;
    private final OutputForm form;
    private final Utf8Decoder decoder = new Utf8Decoder();
    private final StringBuilder piece = new StringBuilder();
    private boolean dropSpace;
    private boolean begun;
    private boolean lastSpecial;

    /**
     * @param form of the text
     * @param begins the first id begins a text (a leading space is dropped if the tokenizer says so); false where the ids go on
     *     from a prompt
     */
    public IncrementalDetokenizer(Tokenizer tokenizer, OutputForm form, boolean begins) {
        this.tokenizer = tokenizer;
        this.form = form;
        this.dropSpace = begins && tokenizer.dropsFirstSpace();
    }

    /** The text of all the ids. */
    public static String decode(Tokenizer tokenizer, int[] ids, boolean skipSpecial) {
        IncrementalDetokenizer detokenizer = new IncrementalDetokenizer(tokenizer, OutputForm.plain(skipSpecial), true);
        StringBuilder text = new StringBuilder();
        for (int id : ids) {
            text.append(detokenizer.push(id));
        }
        return text.append(detokenizer.finish()).toString();
    }

    /** What became final with this id; may be empty. */
    public String push(int id) {
        boolean special = form.isApart(tokenizer, id);
        if (!form.isShown(tokenizer, id)) {
            return "";
        }
        if (begun && (special || lastSpecial)) {
            decoder.finish(piece);
            piece.append(' ');
        }
        begun = true;
        lastSpecial = special;
        decoder.decode(tokenizer.bytes(id), piece);
        return take();
    }

    /** What the end of the stream adds: U+FFFD for an unfinished character, else nothing. */
    public String finish() {
        decoder.finish(piece);
        return take();
    }

    private String take() {
        if (piece.isEmpty()) {
            return "";
        }
        int from = dropSpace && piece.charAt(0) == ' ' ? 1 : 0;
        dropSpace = false;
        String text = piece.substring(from);
        piece.setLength(0);
        return text;
    }
}
