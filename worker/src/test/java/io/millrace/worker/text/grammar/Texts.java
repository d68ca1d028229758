package io.millrace.worker.text.grammar;

import io.millrace.worker.text.grammar.machine.Grammar;
import io.millrace.worker.text.grammar.machine.State;
import java.io.ByteArrayOutputStream;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import org.jspecify.annotations.Nullable;

/** Whole texts against grammars, byte by byte. */
final class Texts {

    private Texts() {}

    static boolean accepts(Grammar grammar, String text) {
        State end = Grammar.advance(grammar.start(), text.getBytes(StandardCharsets.UTF_8));
        return end != null && end.accepting();
    }

    static boolean accepts(GrammarSpec spec, String text) {
        return accepts(GrammarCompiler.grammar(spec), text);
    }

    static Grammar schema(String schema) {
        return GrammarCompiler.grammar(new GrammarSpec.JsonSchema(schema, false));
    }

    /** A random text of a grammar that prefers to end after {@code soft} bytes; null when it has not ended by {@code hard}. */
    static @Nullable String walk(Grammar grammar, Random random, int soft, int hard) {
        State state = grammar.start();
        ByteArrayOutputStream out = new ByteArrayOutputStream();
        while (out.size() < hard) {
            List<Byte> bytes = new ArrayList<>();
            List<State> next = new ArrayList<>();
            for (int b = 0; b < 256; b++) {
                State then = Grammar.advance(state, new byte[] {(byte) b});
                if (then != null) {
                    bytes.add((byte) b);
                    next.add(then);
                }
            }
            if (state.accepting() && (bytes.isEmpty() || out.size() > soft || random.nextInt(4) == 0)) {
                return out.toString(StandardCharsets.UTF_8);
            }
            if (bytes.isEmpty()) {
                throw new AssertionError("a dead end after " + out.toString(StandardCharsets.UTF_8));
            }
            int at = pick(bytes, random, out.size() > soft);
            out.write(bytes.get(at));
            state = next.get(at);
        }
        return null;
    }

    /** Late in a text, what closes something comes first. */
    private static int pick(List<Byte> bytes, Random random, boolean late) {
        if (late || random.nextInt(6) == 0) {
            for (byte closing : new byte[] {'"', '}', ']'}) {
                int at = bytes.indexOf(closing);
                if (at >= 0) {
                    return at;
                }
            }
        }
        return random.nextInt(bytes.size());
    }
}
