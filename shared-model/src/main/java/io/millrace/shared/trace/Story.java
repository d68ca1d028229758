package io.millrace.shared.trace;

import java.util.List;
import java.util.Map;

/**
 * One request, told from its records.
 *
 * @param heading lines about the whole
 * @param root the tree
 * @param shares where the time went: name to milliseconds, in the order of events; together the whole time
 * @param ignored records that the fold left out, with why
 */
public record Story(List<String> heading, Node root, Map<String, Long> shares, List<String> ignored) {

    public Story {
        heading = List.copyOf(heading);
        ignored = List.copyOf(ignored);
    }
}
