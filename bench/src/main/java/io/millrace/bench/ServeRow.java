package io.millrace.bench;

import java.io.PrintWriter;

/** The table of {@code bench serve}: one row a server, or a round of it. */
final class ServeRow {

    private ServeRow() {}

    static void head(PrintWriter print) {
        print.printf(
                "%-32s %6s %6s %9s %9s %9s %9s %9s %9s %8s %7s %7s%n",
                "server",
                "ok",
                "failed",
                "tok/s",
                "goodput/s",
                "ttft p50",
                "ttft p99",
                "itl p50",
                "itl p99",
                "seconds",
                "prompt",
                "cached");
        print.flush();
    }

    /** The last two are the mean tokens of a prompt, and those of them that the server had in its cache. */
    static void print(PrintWriter print, String server, LoadResult load, double seconds) {
        print.printf(
                "%-32s %6d %6d %9.1f %9.2f %9.1f %9.1f %9.2f %9.2f %8.1f %7.1f %7.1f%n",
                server,
                load.ok(),
                load.failed(),
                load.tokens() / seconds,
                load.good() / seconds,
                load.firstMs(50),
                load.firstMs(99),
                load.gapMs(50),
                load.gapMs(99),
                seconds,
                load.promptTokens(),
                load.cachedTokens());
        load.errors().forEach((error, count) -> print.println("  " + count + " x " + error));
        print.flush();
    }
}
