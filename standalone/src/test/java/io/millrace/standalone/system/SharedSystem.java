package io.millrace.standalone.system;

import io.millrace.worker.model.GgufEdit;
import io.millrace.worker.model.gguf.GgufFile;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Comparator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.stream.Stream;
import org.junit.jupiter.api.extension.ExtensionContext;
import org.junit.jupiter.api.extension.ParameterContext;
import org.junit.jupiter.api.extension.ParameterResolver;

/**
 * Gives tests one system that they all share, since starting one takes seconds: it serves the mock model {@code alpha}, and {@code
 * tiny}, a Llama of a context of {@value #TINY_CONTEXT} tokens whose chat template writes the variables it gets.
 */
final class SharedSystem implements ParameterResolver {

    static final int TINY_CONTEXT = 128;

    private static final Path TINY = Path.of("../worker/src/test/resources/golden/gguf/tiny-llama-f16.gguf");
    private static final ExtensionContext.Namespace SPACE = ExtensionContext.Namespace.create(SharedSystem.class);
    private static final String TEMPLATE = """
            {%- for m in messages -%}<|im_start|>{{ m['role'] }}
            {{ m['content'] }}<|im_end|>
            {% endfor -%}
            {%- if mood == 'raise' %}{{ raise_exception('not in this mood') }}{% endif -%}
            {%- if mood %}mood={{ mood }}{% endif -%}
            {%- if reasoning_effort %}effort={{ reasoning_effort }}{% endif -%}
            {%- for d in documents or [] %}doc={{ d['text'] }}{% endfor -%}
            {%- if add_generation_prompt %}<|im_start|>assistant
            {% endif -%}
            """;

    /** The system, and the folder of its files. */
    private record Running(SystemUnderTest system, Path dir) implements AutoCloseable {

        static Running start() {
            try {
                Path dir = Files.createTempDirectory("millrace-shared");
                Path tiny = dir.resolve("tiny.gguf");
                try (GgufFile file = GgufFile.open(TINY)) {
                    Map<String, Object> metadata = new LinkedHashMap<>(file.metadata());
                    metadata.put("llama.context_length", (long) TINY_CONTEXT);
                    metadata.put("tokenizer.ggml.add_bos_token", true);
                    metadata.put("tokenizer.chat_template", TEMPLATE);
                    GgufEdit.write(tiny, metadata, List.copyOf(file.tensors()));
                }
                Map<String, Object> properties = Map.of(
                        "millrace.worker.models[0]", "mock:alpha",
                        "millrace.worker.models[1]", "tiny=" + tiny,
                        "millrace.worker.kv-memory", "16MB");
                return new Running(SystemUnderTest.start(dir, properties, "alpha", "tiny"), dir);
            } catch (Exception e) {
                throw new IllegalStateException("the shared system does not start", e);
            }
        }

        @Override
        public void close() {
            system.close();
            try (Stream<Path> files = Files.walk(dir)) {
                for (Path each : files.sorted(Comparator.reverseOrder()).toList()) {
                    Files.delete(each);
                }
            } catch (IOException e) {
                throw new UncheckedIOException(e);
            }
        }
    }

    @Override
    public boolean supportsParameter(ParameterContext parameter, ExtensionContext context) {
        return parameter.getParameter().getType() == SystemUnderTest.class;
    }

    @Override
    public Object resolveParameter(ParameterContext parameter, ExtensionContext context) {
        return context.getRoot()
                .getStore(SPACE)
                .computeIfAbsent(Running.class, type -> Running.start(), Running.class)
                .system();
    }
}
