package io.millrace.standalone.parts;

import io.millrace.standalone.config.WorkerProperties;
import io.millrace.worker.journal.HostedModel;
import java.util.List;
import java.util.function.Consumer;

/** Gets and loads the models of a worker. */
interface ModelOpener {

    /**
     * Loads them all; blocks for downloads.
     *
     * @param progress hears lines for a person, such as "model.gguf 34 of 138 MiB"
     */
    Opened open(WorkerProperties properties, Consumer<String> progress);

    /**
     * Loaded models.
     *
     * @param close frees them; called once, after the worker has stopped
     */
    record Opened(List<HostedModel> models, Runnable close) {}
}
