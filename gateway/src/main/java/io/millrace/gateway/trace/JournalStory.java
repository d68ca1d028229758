package io.millrace.gateway.trace;

import io.millrace.gateway.trace.Waterfall.Line;
import io.millrace.shared.trace.Node;
import io.millrace.shared.trace.Story;
import java.util.ArrayList;
import java.util.List;

/** Puts what the journal tells of a request into lines. No I/O. */
final class JournalStory {

    private static final long US = 1_000;

    private JournalStory() {}

    static Waterfall read(Story story) {
        List<Line> lines = new ArrayList<>();
        Node root = story.root();
        add(root, "gateway", 0, root.startMs(), lines);
        return new Waterfall("journal", !root.open(), "", lines);
    }

    private static void add(Node node, String part, int depth, long beginMs, List<Line> lines) {
        boolean lost = node.name().startsWith("lost attempt") || node.name().startsWith("fence");
        lines.add(new Line(
                node.name() + (node.open() ? " …" : ""),
                part,
                depth,
                (node.startMs() - beginMs) * US,
                node.tookMs() * US,
                lost,
                node.notes()));
        for (Node child : node.children()) {
            add(child, depth > 0 ? part : part(child.name()), depth + 1, beginMs, lines);
        }
    }

    private static String part(String name) {
        if (name.startsWith("attempt ")) {
            return "worker";
        }
        return name.startsWith("admission") || name.startsWith("router") || name.startsWith("fence")
                ? "router"
                : "gateway";
    }
}
