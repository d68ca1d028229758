package io.millrace.worker.journal;

import com.google.protobuf.ByteString;
import io.millrace.shared.proto.TokenLogprob;
import io.millrace.shared.proto.TopLogprob;
import io.millrace.worker.sampling.SampledToken;

/** Log probabilities as the journal carries them. Stateless. */
final class Logprobs {

    private Logprobs() {}

    static TokenLogprob of(SampledToken token, HostedModel model) {
        var out = TokenLogprob.newBuilder()
                .setId(token.id())
                .setLogprob(token.logprob())
                .setText(ByteString.copyFrom(model.tokenBytes(token.id())));
        for (int i = 0; i < token.topIds().length; i++) {
            int id = token.topIds()[i];
            out.addTop(TopLogprob.newBuilder()
                    .setId(id)
                    .setLogprob(token.topLogprobs()[i])
                    .setText(ByteString.copyFrom(model.tokenBytes(id))));
        }
        return out.build();
    }
}
