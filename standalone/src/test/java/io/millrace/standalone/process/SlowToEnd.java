package io.millrace.standalone.process;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;

/** A child that takes a while to end: says when it was told to, and when it had done so, in a file. */
public final class SlowToEnd {

    private SlowToEnd() {}

    /** Arguments: the file, how long it takes in milliseconds, and {@link Children#CHILD_FLAG}. */
    public static void main(String[] args) throws InterruptedException {
        Path file = Path.of(args[0]);
        long ms = Long.parseLong(args[1]);
        Runtime.getRuntime().addShutdownHook(new Thread(() -> {
            long told = System.currentTimeMillis();
            try {
                Thread.sleep(ms);
                Files.writeString(file, told + " " + System.currentTimeMillis());
            } catch (IOException | InterruptedException e) {
                e.printStackTrace();
            }
        }));
        System.out.println(Children.READY + "here");
        Thread.sleep(600_000);
    }
}
