package io.millrace.worker.text.grammar.json;

import io.millrace.worker.text.grammar.automaton.RegexParser;
import io.millrace.worker.text.grammar.automaton.Rx;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;
import org.jspecify.annotations.Nullable;

/** The formats of strings that are enforced, each as a regular expression; and those that only annotate. */
final class Formats {

    /** Names without rules of their own, or of numbers. */
    private static final Set<String> ANNOTATIONS =
            Set.of("int32", "int64", "float", "double", "decimal", "byte", "binary", "password", "textarea", "color");

    private static final String YEAR = "[0-9]{4}";
    private static final String LEAP = "([0-9]{2}(0[48]|[2468][048]|[13579][26])|([02468][048]|[13579][26])00)";
    private static final String DATE = "(" + YEAR + "-(((0[13578]|1[02])-(0[1-9]|[12][0-9]|3[01]))"
            + "|((0[469]|11)-(0[1-9]|[12][0-9]|30))|(02-(0[1-9]|1[0-9]|2[0-8])))|" + LEAP + "-02-29)";
    private static final String TIME =
            "([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](\\.[0-9]{1,9})?([zZ]|[+-]([01][0-9]|2[0-3]):[0-5][0-9])";
    private static final String OCTET = "(25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])";
    private static final String IPV4 = OCTET + "(\\." + OCTET + "){3}";
    private static final String H16 = "[0-9A-Fa-f]{1,4}";
    private static final String LS32 = "(" + H16 + ":" + H16 + "|" + IPV4 + ")";
    private static final String IPV6 = "((" + H16 + ":){6}" + LS32
            + "|::(" + H16 + ":){5}" + LS32
            + "|(" + H16 + ")?::(" + H16 + ":){4}" + LS32
            + "|((" + H16 + ":){0,1}" + H16 + ")?::(" + H16 + ":){3}" + LS32
            + "|((" + H16 + ":){0,2}" + H16 + ")?::(" + H16 + ":){2}" + LS32
            + "|((" + H16 + ":){0,3}" + H16 + ")?::" + H16 + ":" + LS32
            + "|((" + H16 + ":){0,4}" + H16 + ")?::" + LS32
            + "|((" + H16 + ":){0,5}" + H16 + ")?::" + H16
            + "|((" + H16 + ":){0,6}" + H16 + ")?::)";
    private static final String LABEL = "[a-zA-Z0-9]([a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?";
    private static final String HOSTNAME = LABEL + "(\\." + LABEL + ")*";
    private static final String ATOM = "[a-zA-Z0-9!#$%&'*+/=?^_`{|}~-]+";
    private static final String EMAIL = ATOM + "(\\." + ATOM + ")*@" + HOSTNAME;
    private static final String UUID = "[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}";
    private static final String DURATION = "P([0-9]+W|([0-9]+D|[0-9]+M([0-9]+D)?|[0-9]+Y([0-9]+M([0-9]+D)?)?)(T"
            + "([0-9]+S|[0-9]+M([0-9]+S)?|[0-9]+H([0-9]+M([0-9]+S)?)?))?"
            + "|T([0-9]+S|[0-9]+M([0-9]+S)?|[0-9]+H([0-9]+M([0-9]+S)?)?))";
    private static final String PCT = "%[0-9A-Fa-f]{2}";
    private static final String UNRESERVED = "a-zA-Z0-9._~!$&'()*+,;=\\-";
    private static final String PCHAR = "([" + UNRESERVED + ":@]|" + PCT + ")";
    private static final String AUTHORITY = "(([" + UNRESERVED + ":]|" + PCT + ")*@)?(\\[" + IPV6 + "\\]|(["
            + UNRESERVED + "]|" + PCT + ")*)(:[0-9]*)?";
    private static final String URI =
            "[a-zA-Z][a-zA-Z0-9+.-]*:(//" + AUTHORITY + "(/" + PCHAR + "*)*|/(" + PCHAR + "+(/" + PCHAR + "*)*)?|"
                    + PCHAR + "+(/" + PCHAR + "*)*|)(\\?(" + PCHAR + "|[/?])*)?(#(" + PCHAR + "|[/?])*)?";

    private static final Map<String, String> REGEXES = Map.ofEntries(
            Map.entry("date-time", DATE + "[tT]" + TIME),
            Map.entry("date", DATE),
            Map.entry("time", TIME),
            Map.entry("duration", DURATION),
            Map.entry("email", EMAIL),
            Map.entry("hostname", HOSTNAME),
            Map.entry("ipv4", IPV4),
            Map.entry("ipv6", IPV6),
            Map.entry("uuid", UUID),
            Map.entry("uri", URI),
            Map.entry("json-pointer", "(/([^/~]|~[01])*)*"));

    private Formats() {}

    static boolean isAnnotation(String name) {
        return ANNOTATIONS.contains(name);
    }

    /** null: unknown. */
    static @Nullable Rx of(String name) {
        String regex = REGEXES.get(name);
        return regex == null ? null : RegexParser.parse(regex);
    }

    static String names() {
        return String.join(", ", new TreeSet<>(REGEXES.keySet()));
    }
}
