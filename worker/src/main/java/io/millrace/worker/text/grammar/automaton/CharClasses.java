package io.millrace.worker.text.grammar.automaton;

import java.util.Map;
import org.jspecify.annotations.Nullable;

/** The named sets of regular expressions, as ECMA-262 defines them. */
final class CharClasses {

    static final CharSet DIGIT = CharSet.range('0', '9');
    static final CharSet WORD =
            DIGIT.or(CharSet.range('a', 'z')).or(CharSet.range('A', 'Z')).or(CharSet.of('_'));
    static final CharSet SPACE = CharSet.of("\t\n\u000B\f\r \u00A0\u1680\u2028\u2029\u202F\u205F\u3000\uFEFF")
            .or(CharSet.range(0x2000, 0x200A));
    static final CharSet DOT = CharSet.of("\n\r\u2028\u2029").negate();

    private static final Map<String, String> LONG_NAMES = Map.ofEntries(
            Map.entry("Letter", "L"),
            Map.entry("Uppercase_Letter", "Lu"),
            Map.entry("Lowercase_Letter", "Ll"),
            Map.entry("Mark", "M"),
            Map.entry("Number", "N"),
            Map.entry("Decimal_Number", "Nd"),
            Map.entry("digit", "Nd"),
            Map.entry("Punctuation", "P"),
            Map.entry("punct", "P"),
            Map.entry("Symbol", "S"),
            Map.entry("Separator", "Z"),
            Map.entry("Space_Separator", "Zs"));

    private static final String[] CATEGORIES = {
        "Cn", "Lu", "Ll", "Lt", "Lm", "Lo", "Mn", "Me", "Mc", "Nd", "Nl", "No", "", "Zs", "Zl", "Zp", "Cc", "Cf", "",
        "Co", "Cs", "Pd", "Ps", "Pe", "Pc", "Po", "Sm", "Sc", "Sk", "So", "Pi", "Pf"
    };

    private CharClasses() {}

    /** A general category, by its short or usual long name, or {@code Script=Name}; null: unknown. */
    static @Nullable CharSet property(String name) {
        int equals = name.indexOf('=');
        String key = equals < 0 ? "gc" : name.substring(0, equals);
        String value = name.substring(equals + 1);
        if (key.equals("Script") || key.equals("sc")) {
            return script(value);
        }
        if (!key.equals("gc") && !key.equals("General_Category")) {
            return null;
        }
        String category = LONG_NAMES.getOrDefault(value, value);
        boolean known = !category.isEmpty()
                && category.length() <= 2
                && java.util.Arrays.stream(CATEGORIES).anyMatch(c -> c.startsWith(category));
        return known ? CharSet.where(c -> CATEGORIES[Character.getType(c)].startsWith(category)) : null;
    }

    private static @Nullable CharSet script(String name) {
        try {
            Character.UnicodeScript script = Character.UnicodeScript.forName(name);
            return CharSet.where(c -> Character.UnicodeScript.of(c) == script);
        } catch (IllegalArgumentException e) {
            return null;
        }
    }
}
