package io.millrace.worker.serving;

import io.millrace.shared.error.MillraceException;
import io.millrace.shared.output.ReasoningFormat;
import io.millrace.shared.output.ToolFormat;
import io.millrace.shared.proto.ChatInput;
import io.millrace.shared.proto.Sampling;
import io.millrace.shared.proto.Submit;
import io.millrace.worker.engine.GenerationRequest;
import io.millrace.worker.journal.Preparation;
import io.millrace.worker.sampling.SamplingParams;
import io.millrace.worker.text.OutputForm;
import io.millrace.worker.text.Tokenizer;
import io.millrace.worker.text.grammar.TokenGrammar;
import java.util.Arrays;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Set;
import org.jspecify.annotations.Nullable;

/**
 * Makes requests ready for the engine: template, tokenizer, validation. A pure function of the request and the model: every worker
 * with the same model makes the same ids. Thread-safe.
 */
final class RequestPreparer implements Preparer {

    /** By how much a tokenizer may shorten a text before it cuts it into tokens; generous. */
    private static final int SHORTENING = 4;

    private final String model;
    private final Tokenizer tokenizer;
    private final @Nullable PromptRenderer renderer;
    private final SamplingReader sampling;
    private final GrammarReader grammars;
    private final TokenFields tokens;
    private final TokenizingPreparer tokenizing;
    private final int vocabulary;
    private final int maxModelLen;
    private final int maxChoices;
    private final int longestToken;

    /**
     * @param renderer null: the model has no chat template
     * @param vocabulary ids are below it
     * @param maxModelLen most tokens of prompt and output together
     * @param maxChoices most choices of a request
     */
    RequestPreparer(
            String model,
            Tokenizer tokenizer,
            @Nullable PromptRenderer renderer,
            GenerationDefaults defaults,
            int vocabulary,
            int maxModelLen,
            int maxChoices) {
        this.model = model;
        this.tokenizer = tokenizer;
        this.renderer = renderer;
        this.sampling = new SamplingReader(defaults, vocabulary);
        this.grammars = new GrammarReader(tokenizer, vocabulary);
        this.tokens = new TokenFields(tokenizer, vocabulary);
        this.tokenizing = new TokenizingPreparer(model, tokenizer, renderer, vocabulary, maxModelLen);
        this.vocabulary = vocabulary;
        this.maxModelLen = maxModelLen;
        this.maxChoices = maxChoices;
        this.longestToken = longestToken(tokenizer);
    }

    private static int longestToken(Tokenizer tokenizer) {
        int longest = 1;
        for (int id = 0; id < tokenizer.vocabularySize(); id++) {
            longest = Math.max(longest, tokenizer.bytes(id).length);
        }
        return longest;
    }

    @Override
    public Preparation prepare(String key, Submit submit, List<int[]> accepted, boolean[] ended, boolean solo) {
        if (TokenizingPreparer.isFor(submit)) {
            return tokenizing.prepare(submit);
        }
        try {
            return new Preparation.Ready(request(key, submit, accepted, ended, solo));
        } catch (Refusal r) {
            return new Preparation.Refused(r.status(), r.code(), r.text(), r.param());
        }
    }

    private GenerationRequest request(String key, Submit submit, List<int[]> accepted, boolean[] ended, boolean solo) {
        if (submit.getTask() != Submit.Task.GENERATE) {
            throw new Refusal(
                    400, "unsupported_task", "", PoolingPreparer.unsupported(model, submit.getTask(), "generate"));
        }
        Sampling s = submit.getSampling();
        SamplingParams params = sampling.read(s);
        int n = choices(submit);
        int[] stopIds = tokens.stopIds(s);
        List<String> stopStrings = tokens.stopStrings(s);
        List<int[]> badWords = tokens.badWords(s);
        int promptLogprobs = SamplingReader.logprobs("prompt_logprobs", s.hasPromptLogprobs(), s.getPromptLogprobs());
        String text = submit.hasChat() ? rendered(submit) : submit.getPromptText();
        ReasoningFormat reasoning = ReasoningFormat.of(submit.getChat().getReasoningFormat());
        boolean begun =
                reasoning != ReasoningFormat.NONE && text.stripTrailing().endsWith(reasoning.open());
        int[] prompt = fit(truncate(promptIds(submit, text), s), submit);
        int maxTokens = maxTokens(s, prompt.length);
        TokenGrammar grammar = grammars.read(submit, begun);
        OutputForm form = new OutputForm(
                !s.hasSkipSpecialTokens() || s.getSkipSpecialTokens(),
                s.getSpaceSpecialTokens(),
                shown(submit, reasoning),
                begun ? reasoning.open() : "",
                reasoning);
        return new GenerationRequest(
                key,
                prompt,
                params,
                submit.getSeed(),
                n,
                accepted,
                ended,
                maxTokens,
                minTokens(s, maxTokens),
                stopIds,
                stopStrings,
                s.getIncludeStopInOutput(),
                form,
                badWords,
                tokens.allowed(s),
                promptLogprobs,
                submit.getCacheSalt(),
                submit.getPriority(),
                submit.getDeadlineMs(),
                solo,
                grammar);
    }

    private int choices(Submit submit) {
        int n = Math.max(1, submit.getN());
        if (n > maxChoices) {
            throw Refusal.invalid("n", "n is " + n + "; this model runs at most " + maxChoices + " choices at once.");
        }
        return n;
    }

    /** Control tokens that whoever reads the output needs to see. */
    private Set<Integer> shown(Submit submit, ReasoningFormat reasoning) {
        Set<Integer> ids = new LinkedHashSet<>();
        if (submit.getChat().hasToolUse()) {
            ToolFormat.of(submit.getChat().getToolUse().getFormat())
                    .markers()
                    .forEach(text -> ids.add(tokenizer.id(text)));
        }
        reasoning.markers().forEach(text -> ids.add(tokenizer.id(text)));
        return ids;
    }

    private String rendered(Submit submit) {
        if (renderer == null) {
            throw new Refusal(
                    400,
                    "no_chat_template",
                    "messages",
                    "The model " + model + " has no chat template. Use /v1/completions with a prompt.");
        }
        ChatInput chat = submit.getChat().getDropOldest() ? shortened(submit, renderer) : submit.getChat();
        return renderer.render(chat, templateMs(submit));
    }

    /** The time that templates see. */
    static long templateMs(Submit submit) {
        return submit.getTemplateMs() > 0 ? submit.getTemplateMs() : submit.getCreatedMs();
    }

    /** @param text the prompt's, if it has one */
    private int[] promptIds(Submit submit, String text) {
        return switch (submit.getInputCase()) {
            // The template writes the special tokens itself, so none are added unless asked for.
            case CHAT -> encode(text, false, submit);
            case PROMPT_TEXT -> encode(text, true, submit);
            case PROMPT_IDS -> givenIds(submit);
            case POOLING, INPUT_NOT_SET ->
                throw Refusal.invalid("prompt", "The request has neither messages nor a prompt.");
        };
    }

    /** The conversation without as many of its oldest turns as the context, with room for an answer, does not hold. */
    private ChatInput shortened(Submit submit, PromptRenderer templates) {
        Turns turns = new Turns(submit.getChat());
        int least = 0;
        int most = turns.droppable();
        int middle = 0;
        while (least < most) {
            if (fits(templates.render(turns.without(middle), templateMs(submit)), submit)) {
                most = middle;
            } else {
                least = middle + 1;
            }
            middle = (least + most) / 2;
        }
        return turns.without(least);
    }

    private boolean fits(String text, Submit submit) {
        int answer = submit.getSampling().hasMaxTokens() ? submit.getSampling().getMaxTokens() : maxModelLen;
        int room = Math.max(1, Math.min(answer, maxModelLen / 4));
        return !hopeless(text) && tokenized(text, false, submit).length + room <= maxModelLen;
    }

    private boolean hopeless(String text) {
        return leastTokens(text) >= maxModelLen;
    }

    private long leastTokens(String text) {
        return (long) text.length() / ((long) longestToken * SHORTENING);
    }

    /** @param special whether special tokens are added where the request does not say */
    private int[] encode(String text, boolean special, Submit submit) {
        refuseHopeless(text, submit);
        Sampling s = submit.getSampling();
        int[] ids = tokenized(text, s.hasAddSpecialTokens() ? s.getAddSpecialTokens() : special, submit);
        for (int id : ids) {
            // A tokenizer may have tokens for which the model has no embedding.
            if (id >= vocabulary) {
                throw Refusal.invalid(
                        "prompt",
                        "The prompt holds a token (id " + id + ") that the model " + model
                                + " does not know; its ids are 0 to " + (vocabulary - 1) + ".");
            }
        }
        return ids;
    }

    private int[] tokenized(String text, boolean addSpecial, Submit submit) {
        try {
            return tokenizer.encode(text, addSpecial, true);
        } catch (MillraceException e) {
            throw Refusal.invalid(submit.hasChat() ? "messages" : "prompt", e.toString());
        }
    }

    /** Megabytes that cannot fit are not worth seconds of tokenising: even in the longest tokens they are too many. */
    private void refuseHopeless(String text, Submit submit) {
        if (hopeless(text) && !submit.getSampling().hasTruncatePromptTokens()) {
            throw tooLong(submit, "at least " + leastTokens(text));
        }
    }

    private int[] givenIds(Submit submit) {
        int[] ids = new int[submit.getPromptIds().getIdsCount()];
        for (int i = 0; i < ids.length; i++) {
            ids[i] = submit.getPromptIds().getIds(i);
            if (ids[i] < 0 || ids[i] >= vocabulary) {
                throw Refusal.invalid(
                        "prompt",
                        "The prompt's id at index " + i + " is " + Integer.toUnsignedString(ids[i])
                                + "; the model's ids are 0 to " + (vocabulary - 1) + ".");
            }
        }
        return ids;
    }

    private int[] truncate(int[] prompt, Sampling s) {
        if (!s.hasTruncatePromptTokens()) {
            return prompt;
        }
        int most = s.getTruncatePromptTokens();
        if (most == -1) {
            most = maxModelLen - 1;
        }
        if (most < 1) {
            throw Refusal.invalid(
                    "truncate_prompt_tokens",
                    "truncate_prompt_tokens is " + most + "; it must be at least 1, or -1 for the context.");
        }
        return prompt.length <= most ? prompt : Arrays.copyOfRange(prompt, prompt.length - most, prompt.length);
    }

    private int[] fit(int[] prompt, Submit submit) {
        String param = submit.hasChat() ? "messages" : "prompt";
        if (prompt.length == 0) {
            if (tokenizer.bosId() >= 0) {
                return new int[] {tokenizer.bosId()};
            }
            throw Refusal.invalid(param, "The prompt is empty, and the model has no token to begin a text with.");
        }
        if (prompt.length >= maxModelLen) {
            throw tooLong(submit, Integer.toString(prompt.length));
        }
        return prompt;
    }

    private Refusal tooLong(Submit submit, String tokens) {
        String param = submit.hasChat() ? "messages" : "prompt";
        return new Refusal(
                400,
                "context_length_exceeded",
                param,
                "This model's maximum context length is " + maxModelLen + " tokens. However, your " + param
                        + " resulted in " + tokens
                        + " tokens, which leaves no room for an answer. Please reduce its length.");
    }

    private int maxTokens(Sampling s, int promptLength) {
        int left = maxModelLen - promptLength;
        if (!s.hasMaxTokens()) {
            return left;
        }
        if (s.getMaxTokens() < 1) {
            throw Refusal.invalid("max_tokens", "max_tokens is " + s.getMaxTokens() + "; it must be at least 1.");
        }
        return Math.min(left, s.getMaxTokens());
    }

    private static int minTokens(Sampling s, int maxTokens) {
        int least = s.getMinTokens();
        if (least < 0 || s.hasMaxTokens() && least > s.getMaxTokens()) {
            throw Refusal.invalid(
                    "min_tokens",
                    "min_tokens is " + least + "; it must be 0 to max_tokens"
                            + (s.hasMaxTokens() ? " (" + s.getMaxTokens() + ")" : "") + ".");
        }
        return Math.min(least, maxTokens);
    }
}
