package io.millrace.worker.engine;

/** Waits that an interrupt does not end: it is kept for the caller's next wait. */
final class Uninterrupted {

    /** Something that waits, and may be begun again. */
    @FunctionalInterface
    interface Wait {
        void run() throws InterruptedException;
    }

    private Uninterrupted() {}

    static void run(Wait wait) {
        boolean interrupted = false;
        while (true) {
            try {
                wait.run();
                break;
            } catch (InterruptedException e) {
                interrupted = true;
            }
        }
        if (interrupted) {
            Thread.currentThread().interrupt();
        }
    }
}
