package io.millrace.gateway.stream;

import io.millrace.shared.proto.Output;
import io.millrace.shared.proto.Submit;

/** The prompts that text completions give back: as sent, or for token ids as the worker decoded them (OUTPUT "echo"). */
final class Echo {

    private final Call call;
    private final boolean wanted;
    private final StringBuilder[] decoded;

    Echo(Call call) {
        this.call = call;
        this.wanted = call.first().getSampling().getEcho();
        this.decoded = new StringBuilder[call.parts().size()];
        for (int i = 0; i < decoded.length; i++) {
            decoded[i] = new StringBuilder();
        }
    }

    void observe(Accepted accepted) {
        if (wanted && accepted.record().hasOutput()) {
            Output output = accepted.record().getOutput();
            if ("echo".equals(output.getKind())) {
                decoded[accepted.prompt()].append(output.getData().toStringUtf8());
            }
        }
    }

    /** Whether the log probabilities of the prompt's tokens come back before those of the completion, as OpenAI has it. */
    boolean withLogprobs() {
        return wanted
                && call.first().getSampling().hasLogprobs()
                && !call.shape().getHideLogprobs();
    }

    /** What stands before the completions of that prompt; empty when no echo is wanted. */
    String of(int prompt) {
        if (!wanted) {
            return "";
        }
        Submit submit = call.parts().get(prompt).submit();
        return submit.hasPromptText() ? submit.getPromptText() : decoded[prompt].toString();
    }
}
