package io.millrace.worker.text.gguf;

import io.millrace.worker.model.gguf.GgufFile;
import io.millrace.worker.text.Golden;
import java.util.Map;

/** Metadata of golden vocabularies, by the worker's own reader. */
public final class GgufMetadata {

    private GgufMetadata() {}

    public static Map<String, Object> read(String golden) {
        try (GgufFile file = GgufFile.open(Golden.path(golden))) {
            return file.metadata();
        }
    }
}
