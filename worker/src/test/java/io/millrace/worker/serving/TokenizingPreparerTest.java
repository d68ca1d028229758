package io.millrace.worker.serving;

import static org.assertj.core.api.Assertions.assertThat;

import com.google.protobuf.ByteString;
import com.google.protobuf.InvalidProtocolBufferException;
import io.millrace.shared.proto.ChatInput;
import io.millrace.shared.proto.Submit;
import io.millrace.shared.proto.TokenIds;
import io.millrace.shared.proto.Tokenization;
import io.millrace.shared.proto.TokenizingOptions;
import io.millrace.worker.backend.mock.MockTokenizer;
import io.millrace.worker.journal.Preparation;
import java.util.List;
import org.junit.jupiter.api.Test;

class TokenizingPreparerTest {

    private static final int VOCABULARY = 1024;

    private static TokenizingPreparer preparer(boolean template) {
        return new TokenizingPreparer(
                "m", new MockTokenizer(VOCABULARY), template ? new MockRenderer() : null, VOCABULARY, 16);
    }

    private static Submit tokenize(Submit.Builder input, boolean texts) {
        return input.setTask(Submit.Task.TOKENIZE)
                .setTokenizing(TokenizingOptions.newBuilder().setTokenTexts(texts))
                .build();
    }

    private static Submit detokenize(List<Integer> ids) {
        return Submit.newBuilder()
                .setTask(Submit.Task.DETOKENIZE)
                .setPromptIds(TokenIds.newBuilder().addAllIds(ids))
                .build();
    }

    private static Tokenization answer(Preparation prepared) throws InvalidProtocolBufferException {
        assertThat(prepared).isInstanceOf(Preparation.Answered.class);
        ByteString all = ByteString.EMPTY;
        for (ByteString part : ((Preparation.Answered) prepared).parts()) {
            all = all.concat(part);
        }
        return Tokenization.parseFrom(all);
    }

    private static Preparation.Refused refused(Preparation prepared) {
        assertThat(prepared).isInstanceOf(Preparation.Refused.class);
        return (Preparation.Refused) prepared;
    }

    @Test
    void aTextGivesItsIdsAndTheIdsTheText() throws Exception {
        Tokenization tokens =
                answer(preparer(false).prepare(tokenize(Submit.newBuilder().setPromptText("Grüße 🙂"), true)));

        assertThat(tokens.getMaxModelLen()).isEqualTo(16);
        assertThat(tokens.getTokenTextsCount()).isEqualTo(tokens.getIdsCount()).isPositive();
        assertThat(String.join(
                        "",
                        answer(preparer(false).prepare(detokenize(tokens.getIdsList())))
                                .getTextList()))
                .isEqualTo("Grüße 🙂");
    }

    @Test
    void whatIsLongComesInPartsThatAreOneAnswer() throws Exception {
        String text = "🙂".repeat(300_000);
        Preparation prepared =
                preparer(false).prepare(tokenize(Submit.newBuilder().setPromptText(text), false));
        Tokenization tokens = answer(prepared);

        assertThat(((Preparation.Answered) prepared).parts()).hasSizeGreaterThan(2);
        assertThat(tokens.getIdsList().stream().mapToInt(Integer::intValue).toArray())
                .isEqualTo(((Preparation.Answered) prepared).ids());
        assertThat(String.join(
                        "",
                        answer(preparer(false).prepare(detokenize(tokens.getIdsList())))
                                .getTextList()))
                .isEqualTo(text);
    }

    @Test
    void nothingIsNoTokens() throws Exception {
        assertThat(answer(preparer(false).prepare(tokenize(Submit.newBuilder().setPromptText(""), true)))
                        .getIdsCount())
                .isZero();
    }

    @Test
    void messagesGoThroughTheTemplate() throws Exception {
        Submit.Builder chat = Submit.newBuilder()
                .setChat(ChatInput.newBuilder()
                        .setMessagesJson("[{\"role\":\"user\",\"content\":\"x\"}]")
                        .setAddGenerationPrompt(true));

        assertThat(answer(preparer(true).prepare(tokenize(chat, false))).getIdsList())
                .isEqualTo(answer(preparer(true)
                                .prepare(tokenize(Submit.newBuilder().setPromptText("user: x\nassistant:"), false)))
                        .getIdsList());
        assertThat(refused(preparer(false).prepare(tokenize(chat, false))).code())
                .isEqualTo("no_chat_template");
    }

    @Test
    void anIdThatTheModelDoesNotHaveIsNamed() {
        Preparation.Refused refused = refused(preparer(false).prepare(detokenize(List.of(1, VOCABULARY))));

        assertThat(refused.param()).isEqualTo("tokens");
        assertThat(refused.message()).contains("tokens[1] is 1024");
    }
}
