package io.millrace.worker.model.hub;

import java.nio.file.Path;
import java.util.List;

/**
 * A model that lies on this machine.
 *
 * @param name under which it is served unless told otherwise
 * @param aliases other names it answers to
 * @param path a .gguf file, or a folder with config.json and safetensors
 * @param origin where it came from, for a person
 */
public record ResolvedModel(String name, List<String> aliases, Path path, String origin) {

    public ResolvedModel {
        aliases = List.copyOf(aliases);
    }
}
