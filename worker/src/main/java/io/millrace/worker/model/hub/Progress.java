package io.millrace.worker.model.hub;

/** Hears how far a download is. Called on the downloading thread; must not block. */
@FunctionalInterface
public interface Progress {

    Progress NONE = (what, done, total) -> {};

    /**
     * Called at the start, about every mebibyte, and at the end.
     *
     * @param what the file or step, for a person
     * @param done bytes so far
     * @param total bytes in all; -1 when unknown
     */
    void onProgress(String what, long done, long total);
}
