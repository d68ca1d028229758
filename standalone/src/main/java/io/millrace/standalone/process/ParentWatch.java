package io.millrace.standalone.process;

import java.io.IOException;
import java.io.InputStream;

/** In a child: waits for the end of the pipe that the parent holds. */
public final class ParentWatch {

    private ParentWatch() {}

    /** Runs the task once the pipe ends, so when the parent is gone, kill -9 included. */
    public static void start(InputStream pipe, Runnable onGone) {
        Thread.ofPlatform().name("parent-watch").daemon().start(() -> {
            try {
                while (pipe.read() >= 0) {
                    // Nothing is ever written: only the end counts.
                }
            } catch (IOException e) {
                // As good as its end.
            }
            onGone.run();
        });
    }
}
