package io.millrace.bench;

import java.lang.management.ManagementFactory;
import java.lang.management.ThreadInfo;
import java.lang.management.ThreadMXBean;

/** Processor time of this JVM's threads with names that begin alike. */
final class ThreadTimes {

    private final ThreadMXBean threads = ManagementFactory.getThreadMXBean();
    private final String prefix;

    ThreadTimes(String prefix) {
        this.prefix = prefix;
    }

    /** Of those that live. */
    long cpuNanos() {
        long sum = 0;
        for (long id : threads.getAllThreadIds()) {
            ThreadInfo info = threads.getThreadInfo(id);
            if (info != null && info.getThreadName().startsWith(prefix)) {
                sum += Math.max(0, threads.getThreadCpuTime(id));
            }
        }
        return sum;
    }
}
