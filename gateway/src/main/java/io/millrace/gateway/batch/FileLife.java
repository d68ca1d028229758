package io.millrace.gateway.batch;

import io.millrace.shared.topic.Topic;

/** How long files and batches are there: as long as their topics keep records. */
public final class FileLife {

    public static final long MS = Topic.FILES.retentionMs();

    private FileLife() {}
}
