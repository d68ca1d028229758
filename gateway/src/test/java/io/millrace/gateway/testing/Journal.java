package io.millrace.gateway.testing;

import com.google.protobuf.ByteString;
import io.millrace.shared.proto.Admit;
import io.millrace.shared.proto.Cancel;
import io.millrace.shared.proto.Claim;
import io.millrace.shared.proto.End;
import io.millrace.shared.proto.Fail;
import io.millrace.shared.proto.JournalRecord;
import io.millrace.shared.proto.Output;
import io.millrace.shared.proto.Refuse;
import io.millrace.shared.proto.Reject;
import io.millrace.shared.proto.Submit;
import io.millrace.shared.proto.TokenLogprob;
import io.millrace.shared.proto.Tokenization;
import io.millrace.shared.proto.Tokens;
import io.millrace.shared.proto.TopLogprob;
import io.millrace.shared.proto.Usage;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.util.Random;
import java.util.function.Consumer;

/** Writes the journal of one request, as router and worker would. */
public final class Journal {

    public static final int PROMPT_TOKENS = 7;
    public static final String NUMERICS = "test-f32";

    private final Consumer<JournalRecord> sink;
    private final String id;
    private final long req;
    private final Submit submit;
    private final int[] counts;
    private ByteString aid = ByteString.EMPTY;
    private int attempt;
    private int outputParts;
    private int outputIds;

    public Journal(Consumer<JournalRecord> sink, String id, long req, Submit submit) {
        this.sink = sink;
        this.id = id;
        this.req = req;
        this.submit = submit;
        this.counts = new int[Math.max(1, submit.getN())];
    }

    public Submit submit() {
        return submit;
    }

    public String id() {
        return id;
    }

    public Journal admit() {
        return write(JournalRecord.newBuilder()
                .setAdmit(Admit.newBuilder()
                        .setFoldVersion(1)
                        .setTenant(submit.getTenant())
                        .setModel(submit.getModel())
                        .setCreatedMs(submit.getCreatedMs())
                        .setDeadlineMs(submit.getDeadlineMs())
                        .setN(counts.length)));
    }

    public Journal claim() {
        byte[] bits = new byte[16];
        new Random(id.hashCode() + 31L * attempt).nextBytes(bits);
        aid = ByteString.copyFrom(bits);
        attempt++;
        return write(JournalRecord.newBuilder()
                .setClaim(Claim.newBuilder()
                        .setAttempt(attempt)
                        .setAid(aid)
                        .setWorker("w")
                        .setNumericsId(NUMERICS)
                        .setPromptLength(PROMPT_TOKENS)
                        .setCachedTokens(3)
                        .setFence(attempt > 1)));
    }

    /** Log probabilities of the prompt, whose tokens are these words: the first has none, the others one better beside them. */
    public Journal promptLogprobs(String... words) {
        Tokens.Builder all = Tokens.newBuilder();
        for (int i = 0; i < words.length; i++) {
            TokenLogprob.Builder token = TokenLogprob.newBuilder()
                    .setId(10 + i)
                    .setLogprob(i == 0 ? Float.NaN : -1.5f)
                    .setText(ByteString.copyFromUtf8(words[i]));
            if (i > 0) {
                token.addTop(TopLogprob.newBuilder()
                        .setId(90 + i)
                        .setLogprob(-0.25f)
                        .setText(ByteString.copyFromUtf8("best")));
                token.addTop(TopLogprob.newBuilder()
                        .setId(10 + i)
                        .setLogprob(-1.5f)
                        .setText(ByteString.copyFromUtf8(words[i])));
            }
            all.addIds(10 + i).addLogprobs(token);
        }
        return write(JournalRecord.newBuilder()
                .setOutput(Output.newBuilder()
                        .setAid(aid)
                        .setIndex(1)
                        .setLast(true)
                        .setKind("prompt_logprobs")
                        .setData(all.build().toByteString())));
    }

    /** A whole OUTPUT of numbers. */
    public Journal output(int index, String kind, float... values) {
        ByteBuffer bytes = ByteBuffer.allocate(4 * values.length).order(ByteOrder.LITTLE_ENDIAN);
        bytes.asFloatBuffer().put(values);
        return write(JournalRecord.newBuilder()
                .setOutput(Output.newBuilder()
                        .setAid(aid)
                        .setIndex(index)
                        .setLast(true)
                        .setKind(kind)
                        .setData(ByteString.copyFrom(bytes))));
    }

    public ByteString aid() {
        return aid;
    }

    public Journal token(int choice, String text) {
        Tokens.Builder tokens = tokens(aid, choice, counts[choice], text);
        counts[choice]++;
        return write(JournalRecord.newBuilder().setTokens(tokens));
    }

    /** A token of that log probability. */
    public Journal scored(int choice, String text, float logprob) {
        Tokens.Builder tokens = tokens(aid, choice, counts[choice], text).clearLogprobs();
        tokens.addLogprobs(TokenLogprob.newBuilder().setLogprob(logprob).setText(ByteString.copyFromUtf8(text)));
        counts[choice]++;
        return write(JournalRecord.newBuilder().setTokens(tokens));
    }

    /** A token of another execution, or at another place. */
    public Journal strayToken(ByteString by, int choice, int start, String text) {
        return write(JournalRecord.newBuilder().setTokens(tokens(by, choice, start, text)));
    }

    private Tokens.Builder tokens(ByteString by, int choice, int start, String text) {
        Tokens.Builder tokens = Tokens.newBuilder()
                .setAid(by)
                .setChoice(choice)
                .setStart(start)
                .addIds(100 + start)
                .setText(text);
        if (submit.getSampling().hasLogprobs()) {
            ByteString bytes = ByteString.copyFrom(text, StandardCharsets.UTF_8);
            TokenLogprob.Builder logprob = TokenLogprob.newBuilder()
                    .setId(100 + start)
                    .setLogprob(-0.5f)
                    .setText(bytes);
            for (int i = 0; i < submit.getSampling().getLogprobs(); i++) {
                logprob.addTop(TopLogprob.newBuilder()
                        .setId(100 + start + i)
                        .setLogprob(-0.5f - i)
                        .setText(bytes));
            }
            tokens.addLogprobs(logprob);
        }
        return tokens;
    }

    /** The next part of the answer to a tokenization: these texts, whose ids count from 1; and "text" of ids. */
    public Journal tokenization(int maxModelLen, String... texts) {
        Tokenization.Builder data = Tokenization.newBuilder().setMaxModelLen(maxModelLen);
        if (submit.getTask() == Submit.Task.DETOKENIZE) {
            data.addText(outputParts == 0 ? "te" : "xt");
        }
        for (String text : texts) {
            data.addIds(++outputIds);
            if (submit.getTokenizing().getTokenTexts()) {
                data.addTokenTexts(ByteString.copyFromUtf8(text));
            }
        }
        return write(JournalRecord.newBuilder()
                .setOutput(Output.newBuilder()
                        .setAid(aid)
                        .setPart(outputParts++)
                        .setLast(outputParts == 2)
                        .setKind("tokenization")
                        .setData(data.build().toByteString())));
    }

    public Journal end(int choice, String reason, String text) {
        return end(choice, reason, text, "");
    }

    /** The same, for a stop string or id. */
    public Journal end(int choice, String reason, String text, String stopReason) {
        return write(JournalRecord.newBuilder()
                .setEnd(End.newBuilder()
                        .setAid(aid)
                        .setChoice(choice)
                        .setN(counts[choice])
                        .setFinishReason(reason)
                        .setText(text)
                        .setStopReason(stopReason)
                        .setUsage(Usage.newBuilder()
                                .setPromptTokens(PROMPT_TOKENS)
                                .setCompletionTokens(counts[choice])
                                .setCachedTokens(3))));
    }

    /** Every choice says the words, one token each. */
    public void answer(String... words) {
        admit().claim();
        for (String word : words) {
            for (int choice = 0; choice < counts.length; choice++) {
                token(choice, word);
            }
        }
        for (int choice = 0; choice < counts.length; choice++) {
            end(choice, "stop", "");
        }
    }

    public Journal reject(int status, String code, long retryAfterMs) {
        return write(JournalRecord.newBuilder()
                .setReject(Reject.newBuilder()
                        .setStatus(status)
                        .setCode(code)
                        .setMessage("rejected for the test")
                        .setRetryAfterMs(retryAfterMs)));
    }

    public Journal refuse(int status, String code, String param, String message) {
        return write(JournalRecord.newBuilder()
                .setRefuse(Refuse.newBuilder()
                        .setAttempt(attempt + 1)
                        .setStatus(status)
                        .setCode(code)
                        .setParam(param)
                        .setMessage(message)));
    }

    public Journal fail(int status, String code) {
        return fail(status, code, "");
    }

    /** The same, about a field of the request. */
    public Journal fail(int status, String code, String param) {
        return write(JournalRecord.newBuilder()
                .setFail(Fail.newBuilder()
                        .setAttempt(attempt + 1)
                        .setStatus(status)
                        .setCode(code)
                        .setMessage("failed for the test")
                        .setParam(param)));
    }

    public Journal cancel(String cause) {
        return write(JournalRecord.newBuilder()
                .setCancel(Cancel.newBuilder().setAttempt(attempt + 1).setCause(cause)));
    }

    private Journal write(JournalRecord.Builder record) {
        sink.accept(record.setId(id).setReq(req).build());
        return this;
    }
}
