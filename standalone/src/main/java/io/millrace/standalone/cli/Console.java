package io.millrace.standalone.cli;

import io.millrace.standalone.process.Children;
import java.io.PrintWriter;
import java.util.HashMap;
import java.util.Map;

/**
 * What a person sees while things start, one line per event; the lines of a child process are for its parent. Thread-safe.
 */
final class Console {

    private static final long SAME_EVERY_NANOS = 1_000_000_000L;

    private final PrintWriter out;
    private final boolean child;
    private final long began = System.nanoTime();
    private final Map<String, Long> lastSaid = new HashMap<>();

    Console(PrintWriter out, boolean child) {
        this.out = out;
        this.child = child;
    }

    /** Progress: at most a line a second of each source; the source stands before the first colon. */
    synchronized void progress(String line) {
        String source = line.substring(0, Math.max(0, line.indexOf(':')));
        long now = System.nanoTime();
        Long last = lastSaid.get(source);
        if (last == null || now - last >= SAME_EVERY_NANOS) {
            lastSaid.put(source, now);
            say(line);
        }
    }

    /** A part is ready. */
    synchronized void ready(String part, String what) {
        say("%-9s ready  %s (%.1f s)"
                .formatted(part, what, (System.nanoTime() - began) / 1e9)
                .stripTrailing());
    }

    synchronized void say(String line) {
        out.println(child ? line : "  " + line);
        out.flush();
    }

    synchronized void plain(String text) {
        out.println(text);
        out.flush();
    }

    /** Tells the parent that this child is ready. */
    synchronized void readyForParent(String address) {
        if (child) {
            out.println(Children.READY + address);
            out.flush();
        }
    }
}
