package io.millrace.worker.journal;

import com.google.protobuf.ByteString;
import io.millrace.shared.proto.Claim;
import io.millrace.shared.proto.Dispatch;
import io.millrace.shared.proto.End;
import io.millrace.shared.proto.Fail;
import io.millrace.shared.proto.JournalRecord;
import io.millrace.shared.proto.Output;
import io.millrace.shared.proto.Refuse;
import io.millrace.shared.proto.Tokens;
import io.millrace.shared.proto.TraceContext;
import io.millrace.shared.proto.Usage;
import io.millrace.shared.proto.Yield;
import io.millrace.worker.sampling.SampledToken;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.Arrays;
import java.util.List;

/** Makes the journal records of one attempt. Thread-safe. */
final class AttemptRecords {

    /** Indexes of OUTPUT: the same in each attempt, so that what is accepted already counts once. */
    private static final int OUTPUT_ECHO = 0;

    private static final int OUTPUT_PROMPT_LOGPROBS = 1;

    private final String id;
    private final long req;
    private final Dispatch dispatch;
    private final ByteString aid;
    private final HostedModel model;
    private final WorkerIdentity worker;

    AttemptRecords(String id, long req, Dispatch dispatch, ByteString aid, HostedModel model, WorkerIdentity worker) {
        this.id = id;
        this.req = req;
        this.dispatch = dispatch;
        this.aid = aid;
        this.model = model;
        this.worker = worker;
    }

    private JournalRecord.Builder record() {
        return JournalRecord.newBuilder().setId(id).setReq(req);
    }

    JournalRecord claim(int promptLength, long promptHash, TraceContext trace) {
        return record().setClaim(Claim.newBuilder()
                        .setAttempt(dispatch.getAttempt())
                        .setAid(aid)
                        .setWorker(worker.id())
                        .setIncarnation(worker.incarnation())
                        .setSlot(worker.slot())
                        .setWeightsHash(model.weightsHash())
                        .setTokenizerHash(model.tokenizerHash())
                        .setNumericsId(model.numericsId())
                        .setPromptLength(promptLength)
                        .setPromptHash(promptHash)
                        .setSolo(dispatch.getSolo())
                        .setTrace(trace))
                .build();
    }

    JournalRecord refuse(Preparation.Refused why) {
        return record().setRefuse(Refuse.newBuilder()
                        .setAttempt(dispatch.getAttempt())
                        .setStatus(why.status())
                        .setCode(why.code())
                        .setMessage(why.message())
                        .setParam(why.param()))
                .build();
    }

    /** @param accepted tokens of all choices */
    JournalRecord fail(Preparation.Refused why, int accepted) {
        return record().setFail(Fail.newBuilder()
                        .setAttempt(dispatch.getAttempt())
                        .setAid(aid)
                        .setN(accepted)
                        .setStatus(why.status())
                        .setCode(why.code())
                        .setMessage(why.message())
                        .setParam(why.param()))
                .build();
    }

    JournalRecord yield(String cause, int[] counts) {
        return record().setYield(Yield.newBuilder()
                        .setAid(aid)
                        .setCause(cause)
                        .addAllCounts(Arrays.stream(counts).boxed().toList()))
                .build();
    }

    JournalRecord tokens(int choice, int start, List<SampledToken> tokens, String text) {
        var out = Tokens.newBuilder()
                .setAid(aid)
                .setChoice(choice)
                .setStart(start)
                .setText(text);
        for (SampledToken token : tokens) {
            out.addIds(token.id());
            if (!Float.isNaN(token.logprob())) {
                out.addLogprobs(Logprobs.of(token, model));
            }
        }
        return record().setTokens(out).build();
    }

    /** The prompt's own text. */
    JournalRecord echo(int[] prompt) {
        var text = ByteString.newOutput();
        for (int token : prompt) {
            byte[] bytes = model.tokenBytes(token);
            text.write(bytes, 0, bytes.length);
        }
        return output(OUTPUT_ECHO, "echo", text.toByteString());
    }

    JournalRecord promptLogprobs(List<SampledToken> tokens) {
        var all = Tokens.newBuilder();
        for (SampledToken token : tokens) {
            all.addIds(token.id()).addLogprobs(Logprobs.of(token, model));
        }
        return output(OUTPUT_PROMPT_LOGPROBS, "prompt_logprobs", all.build().toByteString());
    }

    /** A whole OUTPUT of numbers, little-endian float32. */
    JournalRecord output(int index, String kind, float[] values) {
        ByteBuffer bytes = ByteBuffer.allocate(values.length * Float.BYTES).order(ByteOrder.LITTLE_ENDIAN);
        bytes.asFloatBuffer().put(values);
        return output(index, kind, ByteString.copyFrom(bytes));
    }

    private JournalRecord output(int index, String kind, ByteString data) {
        return part(index, kind, 0, true, data);
    }

    JournalRecord part(int index, String kind, int part, boolean last, ByteString data) {
        return record().setOutput(Output.newBuilder()
                        .setAid(aid)
                        .setIndex(index)
                        .setPart(part)
                        .setLast(last)
                        .setKind(kind)
                        .setData(data))
                .build();
    }

    JournalRecord end(int choice, String finishReason, String stopReason, String text, Usage usage) {
        return record().setEnd(End.newBuilder()
                        .setAid(aid)
                        .setChoice(choice)
                        .setN(usage.getCompletionTokens())
                        .setFinishReason(finishReason)
                        .setStopReason(stopReason)
                        .setText(text)
                        .setInexact(dispatch.getInexact())
                        .setUsage(usage))
                .build();
    }
}
