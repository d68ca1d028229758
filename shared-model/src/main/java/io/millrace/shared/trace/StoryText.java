package io.millrace.shared.trace;

import java.util.ArrayList;
import java.util.List;
import java.util.Locale;

/** A story as lines for a terminal. */
final class StoryText {

    private static final int BAR = 30;

    private StoryText() {}

    static List<String> lines(Story story) {
        List<String> lines = new ArrayList<>(story.heading());
        lines.add("");
        lines.add("    at ms      took ms");
        node(story.root(), story.root().startMs(), "", "", lines);
        lines.add("");
        lines.add("where the time went");
        long whole = Math.max(1, story.root().tookMs());
        story.shares()
                .forEach((name, ms) -> lines.add(String.format(
                        Locale.ROOT,
                        "%,12d ms  %5.1f %%  %-" + BAR + "s  %s",
                        ms,
                        100.0 * ms / whole,
                        "#".repeat((int) Math.round((double) BAR * ms / whole)),
                        name)));
        if (!story.ignored().isEmpty()) {
            lines.add("");
            lines.add("left out by the fold");
            story.ignored().forEach(each -> lines.add("  " + each));
        }
        return lines;
    }

    private static void node(Node node, long beginMs, String prefix, String below, List<String> lines) {
        String took = node.startMs() == node.endMs() ? "" : String.format(Locale.ROOT, "%,d", node.tookMs());
        lines.add(String.format(
                        Locale.ROOT,
                        "%,9d %12s  %s%s%s",
                        node.startMs() - beginMs,
                        took,
                        prefix,
                        node.name(),
                        node.open() ? " ..." : "")
                .stripTrailing());
        String own = below + (node.children().isEmpty() ? "    " : "|   ");
        node.notes().forEach(note -> lines.add(" ".repeat(24) + own + note));
        for (int i = 0; i < node.children().size(); i++) {
            boolean last = i == node.children().size() - 1;
            node(
                    node.children().get(i),
                    beginMs,
                    below + (last ? "`-- " : "|-- "),
                    below + (last ? "    " : "|   "),
                    lines);
        }
    }
}
