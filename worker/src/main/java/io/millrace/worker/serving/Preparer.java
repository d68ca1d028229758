package io.millrace.worker.serving;

import io.millrace.shared.proto.Submit;
import io.millrace.worker.journal.Preparation;
import java.util.List;

/** Makes a model's requests ready for its engine: a pure function of request and model. Thread-safe. */
interface Preparer {

    /** As {@link io.millrace.worker.journal.HostedModel#prepare}. */
    Preparation prepare(String key, Submit submit, List<int[]> accepted, boolean[] ended, boolean solo);
}
