package io.millrace.worker.serving;

import io.millrace.shared.output.ReasoningFormat;
import io.millrace.shared.output.ToolFormat;
import io.millrace.shared.proto.Submit;
import io.millrace.worker.engine.Engine;
import io.millrace.worker.journal.HostedModel;
import io.millrace.worker.journal.Preparation;
import io.millrace.worker.text.Tokenizer;
import java.util.List;
import java.util.Set;

/**
 * A loaded model with everything that serves it. Thread-safe; {@link #close} stops its engine and frees its weights.
 */
public final class ServedModel implements HostedModel, AutoCloseable {

    /**
     * What a model is.
     *
     * @param name under which it is served
     * @param aliases other names it answers to
     * @param origin where its files came from, for a person
     * @param weightsHash of its tensors
     * @param numericsId instruction set, build and dtype: bits are equal within one id
     * @param dtype in which it computes, as in "f32"
     * @param parameters number of weights
     * @param maxModelLen most tokens of prompt and output together
     * @param formats of what it writes that is not content
     */
    public record Identity(
            String name,
            List<String> aliases,
            String origin,
            long weightsHash,
            String numericsId,
            String dtype,
            long parameters,
            int maxModelLen,
            OutputFormats formats) {

        /** Of one that writes nothing but text. */
        Identity(
                String name,
                List<String> aliases,
                String origin,
                long weightsHash,
                String numericsId,
                String dtype,
                long parameters,
                int maxModelLen) {
            this(name, aliases, origin, weightsHash, numericsId, dtype, parameters, maxModelLen, OutputFormats.PLAIN);
        }

        public Identity {
            aliases = List.copyOf(aliases);
        }
    }

    private final Identity identity;
    private final Set<Submit.Task> tasks;
    private final Tokenizer tokenizer;
    private final Preparer preparer;
    private final Engine engine;
    private final Runnable release;
    private final LoadTimes loadTimes;

    /** @param release frees what the engine used, after it is closed */
    ServedModel(Identity identity, Tokenizer tokenizer, Preparer preparer, Engine engine, Runnable release) {
        this(identity, Set.of(Submit.Task.GENERATE), tokenizer, preparer, engine, release, LoadTimes.NONE);
    }

    ServedModel(
            Identity identity,
            Set<Submit.Task> tasks,
            Tokenizer tokenizer,
            Preparer preparer,
            Engine engine,
            Runnable release,
            LoadTimes loadTimes) {
        this.tasks = Set.copyOf(tasks);
        this.identity = identity;
        this.tokenizer = tokenizer;
        this.preparer = preparer;
        this.engine = engine;
        this.release = release;
        this.loadTimes = loadTimes;
    }

    public Identity identity() {
        return identity;
    }

    public Tokenizer tokenizer() {
        return tokenizer;
    }

    /** What loading it took. */
    public LoadTimes loadTimes() {
        return loadTimes;
    }

    @Override
    public String name() {
        return identity.name();
    }

    @Override
    public List<String> aliases() {
        return identity.aliases();
    }

    @Override
    public long weightsHash() {
        return identity.weightsHash();
    }

    @Override
    public long tokenizerHash() {
        return tokenizer.hash();
    }

    @Override
    public String numericsId() {
        return identity.numericsId();
    }

    @Override
    public int maxModelLen() {
        return identity.maxModelLen();
    }

    @Override
    public Set<Submit.Task> tasks() {
        return tasks;
    }

    @Override
    public String dtype() {
        return identity.dtype();
    }

    @Override
    public long parameters() {
        return identity.parameters();
    }

    @Override
    public ToolFormat toolFormat() {
        return identity.formats().tools();
    }

    @Override
    public ReasoningFormat reasoningFormat() {
        return identity.formats().reasoning();
    }

    @Override
    public Engine engine() {
        return engine;
    }

    @Override
    public byte[] tokenBytes(int id) {
        return tokenizer.bytes(id);
    }

    @Override
    public Preparation prepare(String key, Submit submit, List<int[]> accepted, boolean[] ended, boolean solo) {
        return preparer.prepare(key, submit, accepted, ended, solo);
    }

    @Override
    public void close() {
        engine.close();
        release.run();
    }
}
