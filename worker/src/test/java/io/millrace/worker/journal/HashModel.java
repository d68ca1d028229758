package io.millrace.worker.journal;

import io.millrace.shared.proto.Submit;
import io.millrace.worker.engine.Engine;
import io.millrace.worker.engine.EngineLoad;
import io.millrace.worker.engine.GenerationListener;
import io.millrace.worker.engine.GenerationRequest;
import io.millrace.worker.sampling.SampledToken;
import io.millrace.worker.sampling.SamplingParams;
import io.millrace.worker.text.OutputForm;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.atomic.AtomicInteger;

/**
 * A model for tests of the protocol: each token is a hash of the seed, the choice and <em>all</em> ids before it, so that a token
 * after a wrong prefix is seen. Prompts that contain "refuse" are refused, those that contain "break" fail in the engine. A token takes {@code paceMs}.
 */
public final class HashModel implements HostedModel, Engine {

    private static final int VOCABULARY = 50_000;

    private final String name;
    private final long weightsHash;
    private final int paceMs;
    private final Map<String, Boolean> running = new ConcurrentHashMap<>();
    private final AtomicInteger submitted = new AtomicInteger();

    public HashModel(String name, long weightsHash, int paceMs) {
        this.name = name;
        this.weightsHash = weightsHash;
        this.paceMs = paceMs;
    }

    /** The ids that an undisturbed run gives. */
    public static int[] expected(int[] prompt, long seed, int choice, int count) {
        List<Integer> ids = new ArrayList<>();
        while (ids.size() < count) {
            ids.add(next(prompt, seed, choice, ids));
        }
        return ids.stream().mapToInt(Integer::intValue).toArray();
    }

    /** The prompt's ids. */
    public static int[] ids(Submit submit) {
        return switch (submit.getInputCase()) {
            case PROMPT_IDS ->
                submit.getPromptIds().getIdsList().stream()
                        .mapToInt(Integer::intValue)
                        .toArray();
            case PROMPT_TEXT -> submit.getPromptText().codePoints().toArray();
            case CHAT -> submit.getChat().getMessagesJson().codePoints().toArray();
            case POOLING, INPUT_NOT_SET -> new int[0];
        };
    }

    private static int next(int[] prompt, long seed, int choice, List<Integer> ids) {
        long hash = seed * 0x9e3779b97f4a7c15L + choice;
        for (int id : prompt) {
            hash = (hash ^ id) * 0xbf58476d1ce4e5b9L;
            hash ^= hash >>> 29;
        }
        for (int id : ids) {
            hash = (hash ^ id) * 0x94d049bb133111ebL;
            hash ^= hash >>> 31;
        }
        return (int) Math.floorMod(hash, (long) VOCABULARY);
    }

    public static String text(int id) {
        return id + " ";
    }

    /** Executions that were ever submitted. */
    public int submitted() {
        return submitted.get();
    }

    public int running() {
        return running.size();
    }

    @Override
    public String name() {
        return name;
    }

    @Override
    public List<String> aliases() {
        return List.of(name + "-alias");
    }

    @Override
    public long weightsHash() {
        return weightsHash;
    }

    @Override
    public long tokenizerHash() {
        return 7;
    }

    @Override
    public String numericsId() {
        return "hash";
    }

    @Override
    public int maxModelLen() {
        return 4_096;
    }

    @Override
    public Set<Submit.Task> tasks() {
        return Set.of(Submit.Task.GENERATE);
    }

    @Override
    public String dtype() {
        return "none";
    }

    @Override
    public long parameters() {
        return 1;
    }

    @Override
    public Engine engine() {
        return this;
    }

    @Override
    public byte[] tokenBytes(int id) {
        return text(id).getBytes(StandardCharsets.UTF_8);
    }

    @Override
    public Preparation prepare(String key, Submit submit, List<int[]> accepted, boolean[] ended, boolean solo) {
        if (submit.getPromptText().contains("refuse")) {
            return new Preparation.Refused(400, "context_length_exceeded", "too long: 9 of 8", "prompt");
        }
        return new Preparation.Ready(new GenerationRequest(
                key,
                ids(submit),
                SamplingParams.GREEDY,
                submit.getSeed(),
                ended.length,
                accepted,
                ended,
                submit.getSampling().getMaxTokens(),
                0,
                new int[0],
                List.of(),
                false,
                OutputForm.plain(true),
                List.of(),
                null,
                -1,
                submit.getCacheSalt(),
                0,
                submit.getDeadlineMs(),
                solo,
                null));
    }

    @Override
    public void submit(GenerationRequest request, GenerationListener listener) {
        submitted.incrementAndGet();
        if (new String(request.promptIds(), 0, request.promptIds().length).contains("break")) {
            listener.onFailure("MR-ENGINE-006", "a step failed", true);
            return;
        }
        running.put(request.key(), true);
        Thread.ofVirtual().start(() -> run(request, listener));
    }

    private void run(GenerationRequest request, GenerationListener listener) {
        List<List<Integer>> ids = new ArrayList<>();
        boolean[] over = request.ended().clone();
        for (int[] before : request.accepted()) {
            ids.add(new ArrayList<>(java.util.Arrays.stream(before).boxed().toList()));
        }
        listener.onScheduled(0);
        int left = 0;
        for (boolean each : over) {
            left += each ? 0 : 1;
        }
        while (left > 0) {
            if (!pause() || !running.containsKey(request.key())) {
                listener.onCancelled();
                return;
            }
            if (System.currentTimeMillis() > request.deadlineMs()) {
                running.remove(request.key());
                listener.onFailure("deadline_exceeded", "the deadline passed", false);
                return;
            }
            for (int choice = 0; choice < over.length; choice++) {
                if (!over[choice] && step(request, listener, choice, ids.get(choice))) {
                    over[choice] = true;
                    left--;
                }
            }
        }
        running.remove(request.key());
    }

    private boolean step(GenerationRequest request, GenerationListener listener, int choice, List<Integer> ids) {
        if (ids.size() < request.maxTokens()) {
            int id = next(request.promptIds(), request.seed(), choice, ids);
            ids.add(id);
            var token = new SampledToken(id, Float.NaN, new int[0], new float[0]);
            listener.onTokens(choice, ids.size() - 1, List.of(token), text(id));
        }
        if (ids.size() >= request.maxTokens()) {
            listener.onEnd(choice, ids.size(), "length", "", "");
            return true;
        }
        return false;
    }

    private boolean pause() {
        try {
            Thread.sleep(paceMs);
            return true;
        } catch (InterruptedException e) {
            return false;
        }
    }

    @Override
    public void cancel(String key) {
        running.remove(key);
    }

    @Override
    public EngineLoad load() {
        return new EngineLoad(
                running.size(),
                0,
                64,
                1_000,
                1_000 - running.size(),
                16,
                0,
                10_000,
                0.01,
                0,
                0,
                0,
                0,
                0,
                EngineLoad.Host.NONE);
    }

    @Override
    public CompletableFuture<Void> drain() {
        return CompletableFuture.completedFuture(null);
    }

    @Override
    public void close() {
        running.clear();
    }
}
