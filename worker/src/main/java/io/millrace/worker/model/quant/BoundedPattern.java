package io.millrace.worker.model.quant;

import java.util.regex.Pattern;
import java.util.regex.PatternSyntaxException;

/** Matches a pattern that a checkpoint brings, which may be hostile, in a bounded number of steps. */
final class BoundedPattern {

    private BoundedPattern() {}

    /** Whether the pattern matches a beginning of the text. MR-QUANT-002 when it is malformed or takes too long. */
    static boolean lookingAt(String pattern, String text, int steps, QuantErrors errors) {
        try {
            return Pattern.compile(pattern)
                    .matcher(new Counted(text, new int[] {steps}))
                    .lookingAt();
        } catch (PatternSyntaxException | StackOverflowError | TooManySteps e) {
            throw errors.config("config_groups", "has the target re:" + pattern + ", which cannot be used");
        }
    }

    /** A text that counts how often it is looked at. */
    private record Counted(String text, int[] left) implements CharSequence {
        @Override
        public int length() {
            return text.length();
        }

        @Override
        public char charAt(int index) {
            if (left[0]-- == 0) {
                throw new TooManySteps();
            }
            return text.charAt(index);
        }

        @Override
        public CharSequence subSequence(int start, int end) {
            return new Counted(text.substring(start, end), left);
        }

        @Override
        public String toString() {
            return text;
        }
    }

    private static final class TooManySteps extends RuntimeException {
        private static final long serialVersionUID = 1;
    }
}
