package io.millrace.bench;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.DirectoryStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.HashMap;
import java.util.Map;
import java.util.TreeMap;

/**
 * What each thread of a process has used of the processors, as Linux tells it; nothing elsewhere.
 *
 * @param threads by their ids
 */
record ProcessThreads(Map<String, Used> threads) {

    /**
     * Of one thread.
     *
     * @param name as Linux cuts it, to 15 characters
     * @param nanos on a processor since it began
     */
    record Used(String name, long nanos) {}

    static ProcessThreads of(long pid) {
        return in(Path.of("/proc", String.valueOf(pid), "task"));
    }

    /** Of a folder with one for each thread. */
    static ProcessThreads in(Path tasks) {
        Map<String, Used> threads = new HashMap<>();
        if (Files.isDirectory(tasks)) {
            try (DirectoryStream<Path> all = Files.newDirectoryStream(tasks)) {
                for (Path task : all) {
                    add(task, threads);
                }
            } catch (IOException e) {
                // The process has ended: what was read is what there is.
                return new ProcessThreads(threads);
            }
        }
        return new ProcessThreads(threads);
    }

    private static void add(Path task, Map<String, Used> threads) {
        try {
            String name = Files.readString(task.resolve("comm"), StandardCharsets.ISO_8859_1);
            String times = Files.readString(task.resolve("schedstat"), StandardCharsets.ISO_8859_1);
            threads.put(
                    task.getFileName().toString(),
                    new Used(name.strip(), Long.parseLong(times.strip().split(" ")[0])));
        } catch (IOException e) {
            // It has ended meanwhile.
            threads.remove(task.getFileName().toString());
        }
    }

    /**
     * Nanoseconds since an earlier look, by part.
     *
     * @param parts of the beginning of a thread's name; the first that fits counts
     * @param rest name of what fits none
     */
    Map<String, Long> since(ProcessThreads before, Map<String, String> parts, String rest) {
        Map<String, Long> sums = new TreeMap<>();
        threads.forEach((id, used) -> {
            Used then = before.threads.get(id);
            long nanos = used.nanos() - (then == null ? 0 : then.nanos());
            if (nanos > 0) {
                sums.merge(part(used.name(), parts, rest), nanos, Long::sum);
            }
        });
        return sums;
    }

    private static String part(String name, Map<String, String> parts, String rest) {
        for (Map.Entry<String, String> part : parts.entrySet()) {
            if (name.startsWith(part.getKey())) {
                return part.getValue();
            }
        }
        return rest;
    }
}
