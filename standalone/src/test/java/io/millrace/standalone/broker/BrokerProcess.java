package io.millrace.standalone.broker;

import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;

/** An embedded broker in a process of its own, for tests that kill it; it prints its address when it is ready. */
final class BrokerProcess {

    private static final String READY = "READY ";

    private BrokerProcess() {}

    static Process start(Path data) throws IOException {
        return new ProcessBuilder(
                        Path.of(System.getProperty("java.home"), "bin", "java").toString(),
                        "-XX:TieredStopAtLevel=1",
                        "-Xmx128m",
                        "-cp",
                        System.getProperty("java.class.path"),
                        BrokerProcess.class.getName(),
                        data.toString())
                .redirectErrorStream(true)
                .start();
    }

    static String bootstrap(Process process) throws IOException {
        var lines = new BufferedReader(new InputStreamReader(process.getInputStream(), StandardCharsets.UTF_8));
        StringBuilder all = new StringBuilder();
        for (String line = lines.readLine(); line != null; line = lines.readLine()) {
            if (line.startsWith(READY)) {
                return line.substring(READY.length());
            }
            all.append(line).append('\n');
        }
        throw new IOException("the broker's process ended: " + all);
    }

    public static void main(String[] args) throws Exception {
        try (var broker = EmbeddedBroker.start(BrokerSettings.local(Path.of(args[0]), 0))) {
            System.out.println(READY + broker.bootstrap());
            Thread.currentThread().join();
        }
    }
}
